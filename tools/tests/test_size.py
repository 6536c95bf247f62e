"""`make size` counts what is there."""

import pathlib
import unittest

from size.modules import Name, circles, uses
from size.rust import blank, expand, functions, parse, without_test_files

SOURCE = """//! A header.
use crate::b::{self, C, d::{E as F, G}};
use std::fmt;

/// A comment with an `fn no() {`.
pub struct Shown<'a>(&'a str);
pub(crate) struct Hidden;

pub fn one() -> &'static str {
    let brace = '{';
    let text = "fn two() { /* \\" } "; // }
    r#"more "quoted" {
    lines"#
}

trait T {
    fn without_body(&self);
}

#[cfg(test)]
mod tests {
    use crate::only_tests;

    #[test]
    fn three() {}
}
"""


def source(name: str, *uses: str) -> tuple[pathlib.Path, str]:
    return pathlib.Path("src") / name, "".join(f"use {one};\n" for one in uses)


class Reading(unittest.TestCase):
    def test_code_is_counted_without_comments_and_tests(self) -> None:
        found = parse(pathlib.Path("src/a.rs"), SOURCE)
        self.assertEqual((found.all_lines, found.code_lines), (19, 13))
        self.assertEqual(found.public_types, ["Shown"])
        self.assertEqual(found.uses, ["crate::b", "crate::b::C", "crate::b::d::E", "crate::b::d::G", "std::fmt"])

    def test_functions_end_where_their_brace_closes(self) -> None:
        found = [(one.name, one.line, one.lines) for one in functions(blank(SOURCE))]
        self.assertEqual(found, [("one", 9, 6), ("three", 25, 1)])

    def test_comments_nest_and_lifetimes_are_no_strings(self) -> None:
        self.assertEqual(blank("a /* b /* c */ d */ e<'a>('x', \"y\")"), 'a  e<\'a>("", "")')

    def test_files_that_only_tests_have_are_left_out(self) -> None:
        files = {
            "lib.rs": "#[cfg(test)]\nmod samples;\nmod a;\n",
            "samples.rs": "",
            "samples/more.rs": "",
            "a.rs": "mod samples;\n#[cfg(test)]\nmod tests;\n",
            "a/samples.rs": "",
            "a/tests.rs": "",
        }
        kept = without_test_files(parse(pathlib.Path("src") / name, text) for name, text in files.items())
        self.assertEqual([one.path.as_posix() for one in kept], ["src/lib.rs", "src/a.rs", "src/a/samples.rs"])

    def test_trees_are_expanded(self) -> None:
        self.assertEqual(list(expand("a::{self, b::{C, D}, E as F}")), ["a", "a::b::C", "a::b::D", "a::E"])

    def test_a_path_in_the_code_is_used_too(self) -> None:
        found = parse(
            pathlib.Path("src/a.rs"), 'use b::{C, D};\nfn f() -> e::F { // g::H\n    crate::i::j("k::l")\n}\n'
        )
        self.assertEqual(found.uses, ["b::C", "b::D", "e::F", "crate::i::j"])


class Modules(unittest.TestCase):
    def test_a_path_counts_for_the_deepest_module_in_it(self) -> None:
        root = pathlib.Path("src")
        files = [
            source("lib.rs", "a::X"),
            source("a.rs", "crate::b::c::Y", "std::fmt"),
            source("b.rs"),
            source("b/c.rs", "super::Z", "self::inner"),
        ]
        graph = uses([parse(*one) for one in files], root)
        self.assertEqual(graph, {("a",): {("b", "c")}, ("b",): set(), ("b", "c"): {("b",)}})

    def test_circles_are_found(self) -> None:
        names = {"a": "b", "b": "c", "c": "ad", "d": "", "e": "f", "f": "e"}
        graph: dict[Name, set[Name]] = {(name,): {(one,) for one in used} for name, used in names.items()}
        self.assertEqual(circles(graph), [[("a",), ("b",), ("c",)], [("e",), ("f",)]])
        del graph["c",]
        self.assertEqual(circles(graph), [[("e",), ("f",)]])


if __name__ == "__main__":
    unittest.main()
