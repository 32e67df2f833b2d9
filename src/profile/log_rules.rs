//! Log rules.
