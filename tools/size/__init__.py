"""How large the Rust code is, and how it hangs together: `make size`."""
