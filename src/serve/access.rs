//! Who may see and do what on a run's page: the secret in its address, and for what changes anything that the request
//! comes from the page itself.

use std::io;

use hyper::{Request, header};

/// Bytes of the secret: more than anybody can try.
const SECRET: usize = 16;

/// The secret in a page's address.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    /// A new one from the system's random numbers.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn draw() -> io::Result<Self> {
        let mut bytes = [0_u8; SECRET];
        let mut filled = 0;
        while filled < SECRET {
            let more = rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            );
            filled += more.map_err(io::Error::from)?;
        }
        Ok(Self(hex::encode(bytes)))
    }

    /// As it stands in the address.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the secret in a path, if the path begins with it. Takes as long for a wrong secret as for the right
    /// one, so that it cannot be guessed letter by letter.
    pub(super) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix('/')?;
        let (given, rest) = path.split_once('/')?;
        let mut differs = u8::from(given.len() != self.0.len());
        for (one, other) in given.bytes().zip(self.0.bytes()) {
            differs |= one ^ other;
        }
        (differs == 0).then_some(rest)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Whether a request that changes something comes from the page itself: browsers say where a request comes from, and a
/// form of another site can send no JSON.
pub(super) fn from_the_page<B>(request: &Request<B>) -> bool {
    let text = |name: &str| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let same_origin = text(header::ORIGIN.as_str())
        .is_some_and(|origin| origin.strip_prefix("http://") == Some(host));
    let same_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let json = text(header::CONTENT_TYPE.as_str()) == Some("application/json");
    same_origin && same_site && json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_opens() {
        let secret = Secret::draw().unwrap();
        let other = Secret::draw().unwrap();
        assert_ne!(secret.0, other.0);
        assert_eq!(secret.0.len(), 32);
        assert_eq!(
            secret.strip(&format!("/{}/events", secret.0)),
            Some("events")
        );
        assert_eq!(secret.strip(&format!("/{}/", secret.0)), Some(""));
        let short = &secret.0[..31];
        for path in [
            "/".to_owned(),
            "//".to_owned(),
            "/events".to_owned(),
            format!("/{}", secret.0),
            format!("/{short}/"),
            format!("/{}0/", secret.0),
            format!("/{}/", other.0),
        ] {
            assert_eq!(secret.strip(&path), None, "{path}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn another_site_changes_nothing() {
        let request = |origin: Option<&str>, site: Option<&str>, kind: &str| {
            let mut request = Request::builder()
                .header("host", "127.0.0.1:8080")
                .header("content-type", kind);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if let Some(site) = site {
                request = request.header("sec-fetch-site", site);
            }
            from_the_page(&request.body(()).unwrap())
        };
        let (own, json) = (Some("http://127.0.0.1:8080"), "application/json");
        assert!(request(own, Some("same-origin"), json));
        assert!(request(own, None, json));
        assert!(!request(None, None, json));
        assert!(!request(own, Some("cross-site"), json));
        assert!(!request(own, None, "text/plain"));
        assert!(!request(Some("http://127.0.0.1:8081"), None, json));
        assert!(!request(Some("http://evil.example"), None, json));
        assert!(!request(Some("null"), None, json));
    }
}
