//! Images by reference: pulled where the plan says so, with Docker's own credentials, and named by content.

mod credentials;

pub use credentials::{Credentials, look_up};

use std::ffi::OsString;

use super::{
    docker::{Docker, ImageFacts, config_folder},
    error::EngineError,
};
use crate::plan::image::{Auth, ImagePolicy, Pull, Reference};

/// What is done about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Use,
    Pull,
    /// It is not there, and is not to be pulled.
    Missing,
    /// It is there for another platform, and is not to be pulled.
    Foreign,
}

/// Decides what is done about an image that the engine has, or has not.
fn decide(policy: &ImagePolicy, reference: &Reference, known: Option<&ImageFacts>) -> Step {
    let fits = |facts: &ImageFacts| {
        policy
            .platform
            .as_deref()
            .is_none_or(|platform| facts.is_for(platform))
    };
    // An id is in no registry, and neither is what is packed here: a stranger may have taken the name there.
    let local = matches!(reference, Reference::Id(_)) || reference.is_packed();
    let never = policy.pull == Pull::Never || local;
    match known {
        None if never => Step::Missing,
        None => Step::Pull,
        Some(facts) if !fits(facts) && never => Step::Foreign,
        Some(facts) if !fits(facts) || (policy.pull == Pull::Always && !never) => Step::Pull,
        Some(_) => Step::Use,
    }
}

/// Sees to it that the engine has an image; answers what it knows of it.
///
/// # Errors
/// Why it is not there: not to be pulled, no credentials, or what the registry said.
pub async fn ensure(
    docker: &Docker,
    image: &str,
    policy: &ImagePolicy,
) -> Result<ImageFacts, EngineError> {
    let reference = Reference::parse(image).map_err(|why| EngineError::Pull {
        image: image.to_owned(),
        message: why,
        hint: "",
    })?;
    let known = docker.image(image).await?;
    let foreign = |facts: &ImageFacts| EngineError::OtherPlatform {
        image: image.to_owned(),
        found: facts.platform(),
        asked: policy.platform.clone().unwrap_or_default(),
    };
    let missing = || EngineError::ImageMissing {
        image: image.to_owned(),
    };
    match (decide(policy, &reference, known.as_ref()), known) {
        (Step::Use, Some(facts)) => return Ok(facts),
        (Step::Foreign, Some(facts)) => return Err(foreign(&facts)),
        (Step::Missing | Step::Use | Step::Foreign, _) => return Err(missing()),
        (Step::Pull, _) => pull(docker, &reference, policy).await?,
    }
    let facts = docker.image(image).await?.ok_or_else(missing)?;
    match policy.platform.as_deref() {
        Some(platform) if !facts.is_for(platform) => Err(foreign(&facts)),
        _ => Ok(facts),
    }
}

async fn pull(
    docker: &Docker,
    reference: &Reference,
    policy: &ImagePolicy,
) -> Result<(), EngineError> {
    let Reference::Name {
        registry,
        name,
        tag,
        digest,
    } = reference
    else {
        return Ok(());
    };
    let credentials = match (policy.auth, config_folder()) {
        (Auth::DockerConfig, Some(folder)) => {
            let path: OsString = std::env::var_os("PATH").unwrap_or_default();
            look_up(registry, &folder, &path).await?
        }
        _ => None,
    };
    let which = digest.as_ref().or(tag.as_ref());
    let which = which.map_or("latest", String::as_str);
    let known = credentials.is_some();
    let pulled = docker
        .pull_image(name, which, policy.platform.as_deref(), credentials)
        .await;
    pulled.map_err(|error| {
        let message = match error {
            EngineError::Call { message, .. } => message,
            other => other.to_string(),
        };
        EngineError::Pull {
            image: format!("{name}{}{which}", if digest.is_some() { "@" } else { ":" }),
            hint: hint(&message, known),
            message,
        }
    })
}

/// What to do about what a registry said.
fn hint(message: &str, credentials: bool) -> &'static str {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["denied", "unauthorized", "authentication", "forbidden"]) {
        if credentials {
            "; the credentials of Docker's configuration were used: are they still valid, and is the name right?"
        } else {
            "; is the name right? else `docker login` to its registry first, or build the image here"
        }
    } else if says(&["manifest unknown", "not found", "no matching manifest"]) {
        "; is there such a tag, for this platform?"
    } else {
        "; does the engine reach the registry? with `pull = \"never\"` only what the engine has is used"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_follows_from_policy_platform_and_what_is_there() {
        let name = Reference::parse("reg.example/appd:v3").unwrap();
        let id = Reference::parse(&"ab".repeat(32)).unwrap();
        let amd = ImageFacts {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            ..ImageFacts::default()
        };
        let policy = |pull, platform: Option<&str>| ImagePolicy {
            pull,
            platform: platform.map(str::to_owned),
            auth: Auth::None,
        };
        let arm = Some("linux/arm64");
        for (pull, platform, known, step) in [
            (Pull::Never, None, true, Step::Use),
            (Pull::Never, None, false, Step::Missing),
            (Pull::Never, arm, true, Step::Foreign),
            (Pull::Missing, None, true, Step::Use),
            (Pull::Missing, Some("linux/amd64"), true, Step::Use),
            (Pull::Missing, arm, true, Step::Pull),
            (Pull::Missing, None, false, Step::Pull),
            (Pull::Always, None, true, Step::Pull),
            (Pull::Always, None, false, Step::Pull),
        ] {
            let policy = policy(pull, platform);
            let known = known.then_some(&amd);
            assert_eq!(decide(&policy, &name, known), step, "{policy:?} {known:?}");
        }
        let packed = Reference::parse("canarynet/program:0123456789ab").unwrap();
        let always = policy(Pull::Always, None);
        for local in [id, packed] {
            assert_eq!(decide(&always, &local, Some(&amd)), Step::Use, "{local:?}");
            assert_eq!(decide(&always, &local, None), Step::Missing, "{local:?}");
            let missing = policy(Pull::Missing, arm);
            assert_eq!(decide(&missing, &local, None), Step::Missing, "{local:?}");
            assert_eq!(decide(&missing, &local, Some(&amd)), Step::Foreign);
        }
    }

    #[test]
    fn what_a_registry_says_has_a_remedy() {
        assert!(hint("pull access denied for appd", false).contains("docker login"));
        assert!(hint("unauthorized: expired", true).contains("still valid"));
        assert!(hint("manifest unknown", false).contains("tag"));
        assert!(hint("dial tcp: lookup reg.example: no such host", false).contains("reach"));
    }
}
