"""What a release consists of besides its builds: packages, bills of materials, the template without a macro."""
