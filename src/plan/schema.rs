//! The published JSON Schemas, made from the types that read the files: editors and readers cannot disagree.

use super::manifest::Manifest;
use crate::profile::manifest::Profile;

/// Version of the format of plans and profiles, part of the schemas' ids.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema of soak plans.
#[must_use]
pub fn plan_schema() -> String {
    schema::<Manifest>("soak")
}

/// The JSON Schema of profiles.
#[must_use]
pub fn profile_schema() -> String {
    schema::<Profile>("profile")
}

fn schema<T: schemars::JsonSchema>(kind: &str) -> String {
    let mut schema = schemars::schema_for!(T);
    schema.insert(
        "$id".to_owned(),
        format!("canarynet://schema/{kind}/{SCHEMA_VERSION}").into(),
    );
    // Serialising a JSON value with text keys cannot fail.
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}
