//! Makes Rust of CSI's messages and services, without protoc.
//!
//! Unoptimised programs are linked to a fixed address: those run in User-mode guests, where each page that is relocated at the start of
//! a program costs half a millisecond, and a command has two hundred of them. What is released can lie anywhere.

use std::error::Error;

const PROTO: &str = "src/csi/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        println!("cargo::rustc-link-arg-examples=-no-pie");
    }
    csi()
}

fn csi() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    let set = protox::compile(["csi.proto"], [PROTO])?;
    let messages =
        set.file.iter().filter(|file| file.package() == "csi.v1").flat_map(|file| &file.message_type);
    let has_secrets = messages.filter(|message| message.field.iter().any(|field| field.name() == "secrets"));
    let unprintable: Vec<_> = has_secrets.map(|message| format!(".csi.v1.{}", message.name())).collect();
    tonic_prost_build::configure().build_transport(false).skip_debug(unprintable).compile_fds(set)?;
    Ok(())
}
