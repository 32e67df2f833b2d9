//! The matrix: every defect of the reference node with the fault that exposes it, and healthy networks under every
//! fault, over several seeds; and what the judge made of them.
//!
//! ```text
//! cases (a table) --> cells (case x seed: a plan, a profile) --> one soak each --> record --> fold --> text
//! ```
//!
//! Pure but for the soaks, which `cli/matrix.rs` runs. What is expected of a case is held against a record only when
//! all records are folded: a changed expectation needs no new soak.

pub mod cases;
pub mod cell;
pub mod fold;
pub mod promises;
pub mod record;
pub mod render;

pub use cases::{Case, DEFECTS, PAIRS};
pub use cell::{Cell, Request};
pub use fold::{Done, Matrix, fold};
pub use record::Record;
