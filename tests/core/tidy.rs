//! The source tree holds to its own rules: the core is pure, error codes live in one file, nothing stops encryption, files say what they
//! are, and every sample event is used.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// From the package's root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The code: without comments, documentation and the tests at its end.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = &self.text;
        let lines = text.lines().zip(text.lines().skip(1).chain([""])).enumerate();
        // Where the tests stand in files of their own, the code goes on behind their names.
        let is_end = |line: &str, next: &str| line.starts_with("#[cfg(test)]") && !next.ends_with(';');
        lines
            .take_while(move |(_, (line, next))| !is_end(line, next))
            .map(|(index, (line, _))| (index + 1, line))
            .map(|(number, line)| (number, line.find("//").map_or(line, |start| line.split_at(start).0)))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under one folder of the package.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let source = |path: &PathBuf| Source {
        path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    found.iter().map(source).collect()
}

/// Each place where one of the words stands in code.
fn places(sources: &[Source], words: &[&str]) -> Vec<String> {
    let places = sources.iter().flat_map(|source| {
        let hits = source.code().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        hits.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
    });
    places.collect()
}

fn assert_none(places: &[String], why: &str) {
    assert!(places.is_empty(), "{why}:\n{}", places.join("\n"));
}

#[test]
fn the_core_does_nothing_but_think() {
    let pure = |source: &Source| source.path.starts_with("src/domain/") || source.path == "src/config.rs";
    let pure: Vec<Source> = sources("src").into_iter().filter(pure).collect();
    assert!(pure.len() > 10, "{} files", pure.len());
    let words = [
        "async ",
        "std::env",
        "std::fs",
        "std::net",
        "std::io",
        "Timestamp::now",
        "SystemTime",
        "Instant",
        "tracing",
        "fastrand",
        "tokio",
        "println!",
    ];
    assert_none(&places(&pure, &words), "src/domain and src/config.rs may not do this");
}

#[test]
fn the_loop_and_the_handler_reach_the_world_through_ports_alone() {
    let is_wanted = |source: &Source| source.path.starts_with("src/run/") || source.path == "src/ports.rs";
    let through_ports: Vec<Source> = sources("src").into_iter().filter(is_wanted).collect();
    assert!(through_ports.len() >= 9, "{}", through_ports.len());
    let words =
        ["std::env", "std::fs", "std::net", "Timestamp::now", "SystemTime", "Instant", "tokio", "aws_", "println!"];
    assert_none(&places(&through_ports, &words), "the loop and the handler may not do this");
}

#[test]
fn aws_error_codes_are_named_in_one_file() {
    let others: Vec<Source> = sources("src").into_iter().filter(|s| s.path != "src/domain/codes.rs").collect();
    assert_none(&places(&others, &["Exception"]), "only src/domain/codes.rs names error codes");
}

/// Each line of a file that could stop encryption, delete something or undo it, or that allows it: a call of the SDK, one of its types, the
/// target of a request, a right. Lines that are comments are left out; tests, and what follows `//` in a text, are not.
fn takes_away(path: &str, text: &str) -> Vec<String> {
    // No call of AWS.
    const HARMLESS: [&str; 2] = ["disable_help_subcommand", "remove_file"];
    const VERBS: [&str; 8] =
        ["stop_stream", "delete_", "decrease_", "disable_", "remove_", "merge_", "cancel_", "untag_"];
    const RIGHTS: [&str; 14] = [
        "DescribeChannel",
        "DescribeStreamSummary",
        "GetRecords",
        "GetResourcePolicy",
        "GetShardIterator",
        "ListChannels",
        "ListShards",
        "ListStreamConsumers",
        "ListStreams",
        "ListTagsForStream",
        "PutRecord",
        "PutRecords",
        "StartStreamEncryption",
        "SubscribeToShard",
    ];
    let names_stop =
        ["src/domain/event", "src/domain/history.rs", "src/domain/cause.rs"].iter().any(|file| path.starts_with(file));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_bad = |line: &str| {
        let mut words = line.split(|c| !is_word(c)).filter(|word| !HARMLESS.contains(word));
        let a_call = path.ends_with(".rs") && words.any(|word| VERBS.iter().any(|verb| word.contains(verb)));
        // The name as a text is that of somebody else's call, where events and history are read.
        let known = ["\"StopStreamEncryption\"", "\"StopStreamEncryption by\""].iter().filter(|_| names_stop);
        let rest = known.fold(line.to_owned(), |line, name| line.replace(name, ""));
        let a_name = path.ends_with(".rs") && rest.contains("StopStreamEncryption");
        let a_target = line.contains("_20131202.StopStream") || line.contains("_20131202.Delete");
        let rights = line.split("kinesis:").skip(1).map(|rest| rest.split(|c| !is_word(c) && c != '*').next().unwrap());
        // In an ARN a Region follows, or what stands for one.
        let mut rights =
            rights.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase() || c == '*') && *word != "REGION");
        let a_right = rights.any(|right| !RIGHTS.contains(&right));
        let everything = matches!(line.trim(), "- \"*\"" | "- '*'") || line.contains("Action: \"*\"");
        a_call || a_name || a_target || a_right || everything
    };
    let code = |line: &str| !["//", "#", "Description:"].iter().any(|start| line.trim_start().starts_with(start));
    let bad = text.lines().enumerate().filter(|(_, line)| code(line) && is_bad(line));
    bad.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())).collect()
}

#[test]
fn nothing_can_stop_encryption_or_delete() {
    let mut files = sources("src");
    let deploy = fs::read_dir(root().join("deploy")).unwrap().map(|file| file.unwrap().path());
    for path in deploy.chain([root().join("template.yaml")]) {
        let text = fs::read_to_string(&path).unwrap();
        files.push(Source { path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text });
    }
    assert!(files.len() > 90 && files.iter().filter(|file| file.path.ends_with(".yaml")).count() >= 3);
    let found: Vec<String> = files.iter().flat_map(|file| takes_away(&file.path, &file.text)).collect();
    assert_none(&found, "no such call exists here, and no right to it");
}

/// The test above would find one, wherever it is.
#[test]
fn a_call_that_stops_encryption_would_be_found() {
    for (path, line) in [
        ("src/aws/kinesis.rs", "let request = self.kinesis().stop_stream_encryption().stream_arn(arn);"),
        ("src/cli/seal.rs", "self.client.stop_stream_encryption()"),
        ("src/cli/seal.rs", "let url = \"https://kinesis\"; client.stop_stream_encryption()"),
        ("src/run/reconcile.rs", "    client.delete_stream().stream_name(name).send().await"),
        (
            "src/domain/event/mod.rs",
            "use aws_sdk_kinesis::operation::stop_stream_encryption::StopStreamEncryptionInput;",
        ),
        ("src/domain/history.rs", "kinesis.send(StopStreamEncryptionFluentBuilder::new())"),
        ("src/aws/http.rs", ".header(\"X-Amz-Target\", \"Kinesis_20131202.StopStreamEncryption\")"),
        ("src/lambda.rs", "post(\"StopStreamEncryption\", body)"),
        ("src/aws/kms.rs", "kms.disable_key().key_id(key)"),
        ("src/aws/kinesis.rs", "client.decrease_stream_retention_period()"),
        ("src/cli/doctor/role.rs", "\"kinesis:StopStreamEncryption\","),
        ("template.yaml", "                  - kinesis:StopStreamEncryption"),
        ("template.yaml", "                Action: kinesis:*"),
        ("template.yaml", "                Action: [kinesis:PutRecord, kinesis:Stop*]"),
        ("template.yaml", "                  - kinesis:DeleteStream"),
        ("deploy/central.yaml", "            Action: \"*\""),
        ("deploy/notify.yaml", "              - \"*\""),
    ] {
        assert_eq!(takes_away(path, &format!("fn f() {{\n{line}\n}}")).len(), 1, "{path}: {line}");
    }
    for (path, line) in [
        ("src/domain/event/mod.rs", "    \"StopStreamEncryption\","),
        ("src/cli/shell.rs", "Arguments::command().disable_help_subcommand(true)"),
        ("template.yaml", "            - StopStreamEncryption"),
        ("template.yaml", "      Description: There is no kinesis:StopStreamEncryption."),
        ("template.yaml", "                Resource: !Sub arn:aws:kinesis:${AWS::Region}:${AWS::AccountId}:stream/*"),
    ] {
        assert_eq!(takes_away(path, line), [""; 0], "{path}: {line}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        assert!(source.text.starts_with("//! "), "{} does not open with `//! `", source.path);
    }
}

/// Words that the vocabulary of `CONTRIBUTING.md` replaced, alone or in a name; `look up`, as KMS and CloudTrail have it, is none.
const REPLACED: [&str; 15] = [
    "look", "looks", "looked", "looking", "told", "tell", "tells", "telling", "mend", "mends", "mended", "sight",
    "sights", "thrice", "unseen",
];

/// The words of a text in their order, those of `a_name` and `AName` one by one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in text.chars() {
        if !letter.is_ascii_alphabetic() || (letter.is_ascii_uppercase() && before.is_ascii_lowercase()) {
            words.push(String::new());
        }
        if letter.is_ascii_alphabetic() {
            words.last_mut().unwrap().push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The replaced words of a line.
fn replaced(line: &str) -> Vec<String> {
    let words = words(line);
    let followed = words.iter().zip(words.iter().skip(1).map(String::as_str).chain([""]));
    let found = followed.filter(|(word, next)| match word.as_str() {
        "look" | "looks" | "looked" | "looking" => *next != "up",
        "hand" | "hands" | "handed" | "handing" => *next == "on",
        word => REPLACED.contains(&word),
    });
    found.map(|(word, _)| word.clone()).collect()
}

#[test]
fn the_words_that_the_vocabulary_replaced_do_not_come_back() {
    for (line, expected) in [
        ("fn name_told(sight: &Sight) {}", 3),
        ("LookLater, hand on; he tells", 3),
        ("LookupEvents looked up a look-up, handed over", 0),
    ] {
        assert_eq!(replaced(line).len(), expected, "{line}: {:?}", words(line));
    }
    let documents =
        ["README.md", "ARCHITECTURE.md", "SECURITY.md", "PERFORMANCE.md", "template.yaml"].map(str::to_owned);
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|file| file.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let docs = docs.map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
    let texts = documents.into_iter().chain(docs).map(|path| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        Source { path, text }
    });
    let this = |source: &Source| source.path != "tests/core/tidy.rs";
    let code = sources("src").into_iter().chain(sources("tests")).filter(this);
    for Source { path, text } in code.chain(texts) {
        for (number, line) in text.lines().enumerate() {
            assert_eq!(replaced(line), Vec::<String>::new(), "{path}:{}: {line}", number + 1);
        }
    }
}

/// The files of a folder by their names, without what they end with.
fn stems(folder: &str) -> Vec<String> {
    let files = fs::read_dir(root().join(folder)).unwrap().map(|file| file.unwrap().path());
    let mut stems: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    stems.sort();
    stems
}

/// Every sample event, and everything that AWS was seen to send, stands by name in a test.
#[test]
fn every_sample_is_used() {
    let tests: String = sources("tests").into_iter().map(|source| source.text).collect();
    for (folder, least) in [("events", 20), ("tests/observed", 30)] {
        let names = stems(folder);
        assert!(names.len() > least, "{folder}: {}", names.len());
        let unused: Vec<&String> = names.iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
        assert!(unused.is_empty(), "{folder}: {unused:?}");
    }
}

/// The list of what AWS was seen to send is whole, and says where each file is from.
#[test]
fn what_was_observed_has_its_source() {
    let read = |name: &str| -> serde_json::Value {
        let text = fs::read_to_string(root().join(format!("tests/observed/{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let list = read("README");
    let listed: Vec<&str> = list["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let found = stems("tests/observed").into_iter().filter(|name| name != "README");
    assert_eq!(listed, found.map(|name| format!("{name}.json")).collect::<Vec<_>>());
    let commits = list["commits"].as_object().unwrap();
    for name in listed {
        // What no recording has as a whole says so; of several cases each may have its own.
        let text = read(name.trim_end_matches(".json"));
        let is_known =
            |source: &serde_json::Value| source["commit"].as_str().is_some_and(|commit| commits.contains_key(commit));
        let cases = text["cases"].as_array();
        let each = cases.is_some_and(|cases| cases.iter().all(|case| is_known(&case["source"])));
        assert!(
            is_known(&text["source"]) || each || text["composed"].is_string(),
            "{name} does not say where it is from"
        );
    }
    for file in list["used_by"].as_array().unwrap() {
        assert!(root().join(file.as_str().unwrap()).exists(), "{file}");
    }
}
