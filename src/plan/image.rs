//! Images as profiles and plans name them: how references are read, when they are pulled, which of them may move. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Plan, Program, faults::PlannedFault};

/// The registry of references that name none, and the key under which Docker keeps its credentials.
const HUB: &str = "docker.io";
/// That key.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Repositories of images that were packed here: their tags are hashes of what is in them.
const PACKED: &str = "canarynet/";

/// `image` of a profile: a reference, or one with how it comes to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ImageManifest {
    /// A reference, like `registry.example/appd:v3` or `appd@sha256:...`.
    Reference(String),
    /// ... and how it comes to the engine.
    Table(ImageTable),
}

/// By hand: of an untagged enum nobody would learn which key of the table is wrong.
impl<'de> Deserialize<'de> for ImageManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ImageVisitor)
    }
}

struct ImageVisitor;

impl<'de> de::Visitor<'de> for ImageVisitor {
    type Value = ImageManifest;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a reference like `name:tag`, or a table with `ref`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ImageManifest, E> {
        Ok(ImageManifest::Reference(text.to_owned()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ImageManifest, A::Error> {
        ImageTable::deserialize(de::value::MapAccessDeserializer::new(map))
            .map(ImageManifest::Table)
    }
}

/// An image and how it comes to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageTable {
    /// The reference. Required.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// When it is pulled: `never`, `missing` (default: where the engine does not have it) or `always`. It holds for the
    /// images of `[[versions]]` and `upgrade` faults too, as all that follows.
    pub pull: Option<Pull>,
    /// The platform wanted, `os/architecture` or `os/architecture/variant`: `linux/amd64`. Default: the engine's own.
    pub platform: Option<String>,
    /// Whose credentials are used: `docker-config` (default: what `docker login` and credential helpers keep) or `none`.
    /// They never stand in a plan or profile.
    pub auth: Option<Auth>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// The engine has it, or the run does not begin.
    Never,
    /// Where the engine does not have it.
    #[default]
    Missing,
    /// Before every run.
    Always,
}

/// Whose credentials are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Those of Docker's own configuration.
    #[default]
    DockerConfig,
    /// None.
    None,
}

/// How images come to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagePolicy {
    /// When they are pulled.
    pub pull: Pull,
    /// The platform wanted; `None` for the engine's own.
    pub platform: Option<String>,
    /// Whose credentials are used.
    pub auth: Auth,
}

impl ImagePolicy {
    /// Whether nothing was said about it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl ImageManifest {
    /// The reference, where there is one.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Table(table) => table.reference.as_deref(),
        }
    }

    /// How it comes to the engine.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn policy(&self) -> Result<ImagePolicy, (&'static str, String)> {
        let Self::Table(table) = self else {
            return Ok(ImagePolicy::default());
        };
        if let Some(platform) = table.platform.as_deref().filter(|text| !is_platform(text)) {
            let message = format!("{platform:?} is no platform like `linux/amd64`");
            return Err(("platform", message));
        }
        Ok(ImagePolicy {
            pull: table.pull.unwrap_or_default(),
            platform: table.platform.clone(),
            auth: table.auth.unwrap_or_default(),
        })
    }
}

fn is_platform(text: &str) -> bool {
    let word = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !part.is_empty() && part.len() <= 20 && part.bytes().all(plain)
    };
    (2..=3).contains(&text.split('/').count()) && text.split('/').all(word)
}

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By content: the id that an engine gave it. It is in no registry.
    Id(String),
    /// By name.
    Name {
        /// Host of its registry, with its port.
        registry: String,
        /// Its name as the engine wants it, with the registry where one was named.
        name: String,
        /// Its tag.
        tag: Option<String>,
        /// Its digest.
        digest: Option<String>,
    },
}

impl Reference {
    /// Takes a reference apart as Docker does.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no image reference like `name:tag`, `host/name:tag` or `name@sha256:...`"
            )
        };
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if is_hash(hex) {
            return Ok(Self::Id(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(is_hash)) {
            return Err(bad());
        }
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].rfind(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad());
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (HUB, name),
        };
        if !is_host(registry) || !path.split('/').all(is_component) {
            return Err(bad());
        }
        Ok(Self::Name {
            registry: registry.to_owned(),
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// Whether its name is one of those under which images are packed here.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        matches!(self, Self::Name { name, .. } if name.starts_with(PACKED))
    }

    /// Whether it may name something else tomorrow.
    #[must_use]
    pub fn moves(&self) -> bool {
        let Self::Name { tag, digest, .. } = self else {
            return false;
        };
        let by_content = |tag: &String| tag.len() >= 12 && tag.bytes().all(is_hex);
        let packed = self.is_packed() && tag.as_ref().is_some_and(by_content);
        digest.is_none() && !packed
    }
}

/// The key under which Docker keeps the credentials of a registry.
#[must_use]
pub fn credentials_key(registry: &str) -> &str {
    if registry == HUB || registry == "index.docker.io" {
        HUB_KEY
    } else {
        registry
    }
}

/// An image by content: of the digests that registries gave it the one of this reference, else the engine's id.
#[must_use]
pub fn digest_of(reference: &str, digests: &[String], id: &str) -> String {
    let name = match Reference::parse(reference) {
        Ok(Reference::Name { name, .. }) => name,
        _ => String::new(),
    };
    let own = digests
        .iter()
        .find(|digest| digest.split_once('@').is_some_and(|(of, _)| of == name));
    own.or_else(|| digests.first())
        .map_or_else(|| id.to_owned(), Clone::clone)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

fn is_tag(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(plain) && text.bytes().last().is_some_and(plain);
    ends && text
        .bytes()
        .all(|byte| plain(byte) || b"._-".contains(&byte))
}

/// References of a plan that may name something else tomorrow, each once.
#[must_use]
pub fn moving(plan: &Plan) -> Vec<&str> {
    let network = &plan.network;
    let versions = network.versions.iter();
    let programs = versions.filter_map(|version| version.program.as_ref());
    let named = std::iter::once(&network.program)
        .chain(programs)
        .filter_map(|program| match program {
            Program::Image(image) => Some(image.as_str()),
            Program::Itself | Program::Binary(_) => None,
        });
    let faults = plan.schedule.iter().filter_map(image_of_fault);
    let mut moving = Vec::new();
    for reference in named.chain(faults) {
        let moves = Reference::parse(reference).is_ok_and(|parsed| parsed.moves());
        if moves && !moving.contains(&reference) {
            moving.push(reference);
        }
    }
    moving
}

fn image_of_fault(fault: &PlannedFault) -> Option<&str> {
    fault.parameters.get("image")?.as_str()
}

/// Why a plan is refused whose images must all be pinned; `None` if they are.
#[must_use]
pub fn unlocked(plan: &Plan) -> Option<String> {
    let moving = moving(plan);
    (!moving.is_empty()).then(|| {
        format!(
            "--locked: {} may name another image tomorrow; write `name@sha256:...` (`docker image inspect --format '{{{{json .RepoDigests}}}}' {}`, or `digest` in the machine.json of a run that had it)",
            moving.join(", "),
            moving[0],
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<String>, Option<String>) {
        match Reference::parse(text).unwrap() {
            Reference::Name {
                registry,
                name,
                tag,
                digest,
            } => (registry, name, tag, digest),
            Reference::Id(id) => panic!("{id} is an id"),
        }
    }

    #[test]
    fn references_are_taken_apart_as_docker_does() {
        let hash = "0123456789abcdef".repeat(4);
        let some = |text: &str| Some(text.to_owned());
        for (text, registry, name, tag) in [
            ("appd", "docker.io", "appd", None),
            ("appd:v3", "docker.io", "appd", some("v3")),
            ("team/appd:v3", "docker.io", "team/appd", some("v3")),
            ("localhost/appd", "localhost", "localhost/appd", None),
            ("host:5000/a/b:1", "host:5000", "host:5000/a/b", some("1")),
            ("reg.example/appd", "reg.example", "reg.example/appd", None),
        ] {
            let expected = (registry.to_owned(), name.to_owned(), tag, None);
            assert_eq!(parts(text), expected, "{text}");
        }
        let pinned = format!("reg.example/appd:v3@sha256:{hash}");
        let (_, name, tag, digest) = parts(&pinned);
        assert_eq!(
            (name.as_str(), tag.as_deref()),
            ("reg.example/appd", Some("v3"))
        );
        assert_eq!(digest, Some(format!("sha256:{hash}")));
        let id = format!("sha256:{hash}");
        assert_eq!(Reference::parse(&id), Ok(Reference::Id(id)));
        for bad in [
            "",
            "UPPER",
            "a b",
            "a:",
            "a@sha256:12",
            "a//b",
            "/a",
            "a:-x",
            "-a",
            "x.y/",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_move_and_contents_do_not() {
        let hash = "0123456789abcdef".repeat(4);
        let moves = |text: &str| Reference::parse(text).unwrap().moves();
        assert!(moves("appd") && moves("appd:v3") && moves("reg.example/appd:latest"));
        assert!(moves("canarynet/launcher:latest"));
        assert!(!moves(&format!("appd@sha256:{hash}")));
        assert!(!moves(&hash));
        assert!(!moves("canarynet/etcd:0123456789abcdef"));
    }

    #[test]
    fn the_digest_is_that_of_the_reference() {
        let digests = ["b.example/appd@sha256:2", "a.example/appd@sha256:1"].map(str::to_owned);
        assert_eq!(digest_of("a.example/appd:v3", &digests, "id"), digests[1]);
        assert_eq!(digest_of("c.example/appd", &digests, "id"), digests[0]);
        assert_eq!(digest_of("appd:local", &[], "sha256:7"), "sha256:7");
    }

    #[test]
    fn platforms_are_read() {
        let policy = |platform: &str| {
            let table = ImageTable {
                reference: Some("appd".to_owned()),
                platform: Some(platform.to_owned()),
                ..ImageTable::default()
            };
            ImageManifest::Table(table).policy()
        };
        assert_eq!(policy("linux/arm64/v8").unwrap().pull, Pull::Missing);
        for bad in ["amd64", "linux/", "Linux/amd64", "a/b/c/d"] {
            assert_eq!(policy(bad).unwrap_err().0, "platform", "{bad}");
        }
    }
}
