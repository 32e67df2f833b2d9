//! A profile by itself: for looking at it, and for trying it.

use super::{
    super::{
        error::PlanError, later, layers::Settings, manifest::Manifest, resolve::Sources,
        variables::Variables,
    },
    PlanRequest, Reader, flags,
};
use crate::profile::manifest::Profile;

/// The layers of a profile alone, under a plan that says nothing but what is set from outside.
///
/// # Errors
/// As [`super::load`].
pub fn profile_sources(asked: &str, request: &PlanRequest) -> Result<Sources, PlanError> {
    let reader = Reader {
        variables: Variables {
            environment: &request.environment,
            date: &request.date,
        },
    };
    let settings = Settings::collect(&request.environment, &request.set)?;
    let mut plan = flags(&PlanRequest {
        profile: Some(asked.to_owned()),
        ..PlanRequest::default()
    })?;
    reader.put::<Manifest>(&mut plan, &settings.plan, later::PLAN)?;
    let (profile_name, mut profile) = reader.profile(asked)?;
    reader.put::<Profile>(&mut profile, &settings.profile, later::PROFILE)?;
    Ok(Sources {
        name: profile_name.clone(),
        profile_name,
        plan,
        profile,
        baseline: None,
    })
}
