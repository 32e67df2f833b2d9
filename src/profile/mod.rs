//! What a network is made of, as data.
