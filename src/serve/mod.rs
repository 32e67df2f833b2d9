//! What a run serves while it goes on, on loopback alone: its metrics, and a page that follows it.
//!
//! Invariant: what is served was rendered beside or by the run's own loop; a request reads the newest text, and no
//! client, however slow, costs the watch anything.

mod access;
mod client;
mod http;
mod page;
mod server;

pub use http::ServeError;
pub use page::{Hands, Page, Shown, Wish};
pub use server::Metrics;
