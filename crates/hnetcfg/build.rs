//! Gives the shared object its name: programs that link to it ask for this version of the interface.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libhnetcfg.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
