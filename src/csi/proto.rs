//! The messages and services of `csi.proto`, as `build.rs` makes them.
#![allow(
    missing_docs,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    clippy::unwrap_used
)]

tonic::include_proto!("csi.v1");
