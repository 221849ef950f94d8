//! Unoptimised programs are linked to a fixed address: those run in User-mode guests, where each page that is relocated at the start of
//! a program costs half a millisecond, and a command has two hundred of them. What is released can lie anywhere.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        println!("cargo::rustc-link-arg-examples=-no-pie");
    }
}
