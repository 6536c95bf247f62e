//! `streamseal seal`: the plan, the question, the runs, and what Ctrl-C leaves.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Ran, at_parts, at_terminal, command, pretty, reach, reach_of, run, steady, stream_arn};
use crate::support::{ACCOUNT, Layer, PATIENCE, Parts, REGION, file, parts, unique};

/// Rules for the streams of one test, by the beginnings of their names.
pub(super) fn policy(folder: &tempfile::TempDir, prefix: &str) -> PathBuf {
    let text = format!(
        "\
version: 1
defaults: {{ existing: enforce, enforce_from: 2099-01-01, settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s }} }}
rules:
  - {{ name: exempt, match: {{ stream: '{prefix}-exempt' }}, exempt: {{ reason: synthetic }} }}
  - {{ name: old, match: {{ stream: '{prefix}-old' }}, key: alias/{prefix}, existing: report }}
  - {{ name: lost, match: {{ stream: '{prefix}-lost' }}, key: alias/{prefix}-lost }}
  - {{ name: special, match: {{ stream: '{prefix}-special*' }}, key: alias/{prefix} }}
  - {{ name: rest, match: {{ stream: '{prefix}*' }}, key: alias/{prefix} }}
"
    );
    file(folder, "policy.yaml", &text)
}

pub(super) fn active(names: &[&str]) {
    names.iter().for_each(|name| parts().stream(name));
    names.iter().for_each(|name| parts().active(name));
}

pub(super) fn is_sealed(name: &str, key: &str) -> bool {
    let now = parts().describe(name);
    (&now["EncryptionType"], &now["KeyId"]) == (&json!("KMS"), &json!(key))
}

pub(super) fn untouched(name: &str) {
    assert_eq!((&parts().describe(name)["EncryptionType"], parts().records(name).len()), (&json!("NONE"), 0));
}

#[test]
fn the_plan_comes_first_and_is_carried_out_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("seal");
    let text = std::fs::read_to_string(policy(&folder, &prefix)).unwrap();
    let by_tag = format!(
        "  - {{ name: team, match: {{ stream: '{prefix}-moved', tags: {{ team: blue }} }}, key: alias/{prefix} }}"
    );
    let policy =
        file(&folder, "policy.yaml", &text.replace("  - { name: rest", &format!("{by_tag}\n  - {{ name: rest")));
    let (key, other) = (parts().key(&format!("alias/{prefix}")), parts().key(&format!("alias/{prefix}-other")));
    let name = |suffix: &str| format!("{prefix}-{suffix}");
    let (plain, moved, old, lost, exempt, right) =
        (name("plain"), name("moved"), name("old"), name("lost"), name("exempt"), name("right"));
    active(&[&plain, &moved, &old, &lost, &exempt, &right]);
    parts().kinesis("AddTagsToStream", json!({"StreamName": moved, "Tags": {"team": "blue"}})).unwrap();
    for (name, key) in [(&moved, &other), (&right, &key)] {
        parts()
            .kinesis("StartStreamEncryption", json!({"StreamName": name, "EncryptionType": "KMS", "KeyId": key}))
            .unwrap();
        parts().active(name);
    }
    let streams = [&*plain, &moved, &old, &lost, &exempt, &right];
    let path = format!("file:{}", policy.display());
    let names = [(&*path, "policy.yaml"), (&*prefix, "P"), (&*key, "KEY"), (&*other, "OTHER")];

    let Ran { code, out, err } = at_parts(&[&["seal", "--dry-run"], &streams[..]].concat(), Some(&policy));
    assert_eq!((code, err.as_str()), (3, ""), "no bar where there is no terminal: {out}");
    insta::assert_snapshot!("seal_dry_run", steady(&out, &names));
    let Ran { code, out, .. } = at_parts(&[&["seal", "--dry-run", "--json"], &streams[..]].concat(), Some(&policy));
    assert_eq!(code, 3);
    insta::assert_snapshot!("seal_dry_run_json", pretty(&steady(&out, &names)));
    untouched(&plain);

    // Nobody to ask.
    let Ran { code, out, err } = at_parts(&["seal", &plain], Some(&policy));
    assert!(code == 2 && out.is_empty() && err.contains("--yes") && err.contains("--dry-run"), "{err}");
    untouched(&plain);

    let Ran { code, out, err } = at_parts(&[&["seal", "--yes"], &streams[..]].concat(), Some(&policy));
    assert_eq!((code, err.as_str()), (3, ""), "what is withheld or wrong stays so: {out}");
    assert!(out.contains(&format!("sealed  {plain}: right-key: encrypted with {key}\n        proof: probe ")), "{out}");
    let numbers: Vec<String> = [&plain, &moved]
        .iter()
        .map(|name| parts().records(name)[0]["SequenceNumber"].as_str().unwrap().to_owned())
        .collect();
    let names: Vec<(&str, &str)> =
        names.into_iter().chain(numbers.iter().map(|number| (&**number, "NUMBER"))).collect();
    insta::assert_snapshot!("seal_applied", steady(&out, &names));
    assert!(is_sealed(&plain, &key) && is_sealed(&moved, &key) && is_sealed(&right, &key));
    untouched(&old);
    untouched(&lost);
    untouched(&exempt);
    assert_eq!([&plain, &moved, &right].map(|name| parts().records(name).len()), [1, 1, 0]);

    let Ran { code, out, .. } = at_parts(&["seal", "--yes", &plain, &moved, &exempt], Some(&policy));
    assert!(code == 0 && out.contains("0 to encrypt, 0 to re-key") && !out.contains("sealed"), "{out}");
}

/// A person who names a stream may have it changed although its rule only reports streams of its age; the ones that are not encrypted come
/// first, and what was done is counted.
#[test]
fn an_existing_stream_that_is_named_is_changed_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("existing");
    let policy = policy(&folder, &prefix);
    let (key, other) = (parts().key(&format!("alias/{prefix}")), parts().key(&format!("alias/{prefix}-other")));
    let [old, moved, plain] = ["old", "moved", "plain"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&old, &plain]);
    parts().encrypted(&moved, &other);

    let Ran { code, out, .. } = at_parts(&["seal", "--dry-run", &old], Some(&policy));
    assert!(code == 3 && out.contains("0 to encrypt") && out.contains("1 withheld"), "{out}");
    assert!(
        out.contains(&format!("next: `streamseal seal {old} --include-existing --dry-run"))
            && out.ends_with("shows what it would change of streams that are older than `enforce_from`\n"),
        "{out}"
    );
    let Ran { code, err, .. } = at_parts(&["seal", "--all", "--include-existing", "--yes"], Some(&policy));
    assert!(code == 2 && err.contains("--include-existing"), "for streams that somebody names: {err}");

    let asked = ["seal", "--include-existing", "--max-changes", "2", &moved, &old, &plain];
    let Ran { code, out, .. } = at_parts(&[&asked[..], &["--dry-run"]].concat(), Some(&policy));
    assert!(code == 3 && out.contains("2 to encrypt, 1 to re-key"), "{out}");
    assert!(out.find(&format!("+ {old}")) < out.find(&format!("~ {moved}")), "not encrypted goes first: {out}");
    untouched(&old);
    let Ran { code, out, .. } = at_parts(&[&asked[..], &["--yes"]].concat(), Some(&policy));
    assert_eq!(code, 3, "one is left: {out}");
    assert!(out.contains("\n2 encrypted, 0 re-keyed\nnext: `streamseal audit --policy "), "{out}");
    assert!(is_sealed(&old, &key) && is_sealed(&plain, &key) && is_sealed(&moved, &other));
}

#[test]
fn no_more_is_changed_than_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("bounded");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}"));
    let [one, two, special] = ["one", "two", "special"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&one, &two, &special]);

    let Ran { code, out, .. } = at_parts(&["seal", "--yes", "--only", "special", &one, &special], Some(&policy));
    assert_eq!(code, 0, "{out}");
    assert!(is_sealed(&special, &key) && !out.contains(&one), "{out}");
    let Ran { code, err, .. } = at_parts(&["seal", "--yes", "--only", "speical", &one], Some(&policy));
    assert!(code == 2 && err.contains("no rule `speical`") && err.contains("special"), "{err}");

    let Ran { code, out, .. } =
        at_parts(&["seal", "--yes", "--max-changes", "1", "--json", &one, &two, &one], Some(&policy));
    assert_eq!(code, 3, "one is left: {out}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let beyond: Vec<&Value> =
        json["plan"].as_array().unwrap().iter().map(|planned| &planned["beyond_max_changes"]).collect();
    assert_eq!(beyond, [&json!(false), &json!(true)], "a stream that is named twice is one");
    assert_eq!(json["evidence"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&json["evidence"][0]["schema"], &json["evidence"][0]["proof"]["state"]),
        (&json!("streamseal.evidence/v1"), &json!("proven"))
    );
    assert!(is_sealed(&one, &key));
    untouched(&two);
    let Ran { code, out, err } = at_parts(&["seal", "--yes", &two, &unique("gone")], Some(&policy));
    assert!(
        code == 1 && out.is_empty() && err.contains("does not exist or is being deleted; nothing was changed"),
        "{err}"
    );
    untouched(&two);
    assert_eq!(at_parts(&["seal", "--all", &one], Some(&policy)).code, 2);
    assert_eq!(at_parts(&["seal"], Some(&policy)).code, 2);
}

#[test]
fn a_stream_whose_creator_may_be_at_work_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let alias = format!("alias/{}", unique("settling"));
    let (key, stream) = (parts().key(&alias), unique("settling"));
    let text = format!(
        "version: 1\ndefaults: {{existing: enforce, settle: {{terraform: 4s, cloudformation: 4s, pulumi: 4s}}}}\nrules: [{{name: all, \
         key: {alias}}}]\n"
    );
    let policy = file(&folder, "policy.yaml", &text);
    active(&[&stream]);
    let begun = Instant::now();
    let Ran { code, out, .. } = at_parts(&["seal", "--yes", &stream], Some(&policy));
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains(&format!("~ {stream}: not encrypted -> {key} ({alias}), not before "))
            && out.contains("1 waiting"),
        "{out}"
    );
    assert!(is_sealed(&stream, &key) && begun.elapsed() > Duration::from_secs(4), "{out}");
}

#[test]
fn all_means_every_stream_of_the_region() {
    let own = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let policy = policy(&folder, "all");
    let key = own.key("alias/all");
    for name in ["all-a", "all-b", "else"] {
        own.stream(name);
        own.active(name);
    }
    own.encrypted("all-right", &key);
    let arguments = ["seal", "--all", "--yes", "--policy", policy.to_str().unwrap()];
    let Ran { code, out, err } = run(&arguments, &reach_of(&own));
    assert_eq!(code, 3, "`else` has no rule: {out}{err}");
    let names = [(policy.to_str().unwrap(), "policy.yaml"), (&*key, "KEY")];
    let plan = out.split("sealed").next().unwrap();
    insta::assert_snapshot!("seal_all_plan", steady(plan, &names));
    for (name, encrypted) in [("all-a", "KMS"), ("all-b", "KMS"), ("else", "NONE"), ("all-right", "KMS")] {
        assert_eq!(own.describe(name)["EncryptionType"], encrypted, "{name}");
    }
}

#[test]
fn at_a_terminal_it_asks_and_shows_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("asked");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}"));
    let stream = format!("{prefix}-orders");
    active(&[&stream]);
    let arguments = ["seal", &stream, "--policy", policy.to_str().unwrap()];

    for answer in ["no\n", "y\n", "\n", "\u{4}"] {
        let (code, text) = at_terminal(&arguments, &reach(), &[("Type \"yes\" to continue: ", answer)]);
        assert!(
            code == 3 && text.contains("Change 1 stream?") && text.contains("nothing was changed"),
            "{answer:?}: {text}"
        );
        untouched(&stream);
    }
    let (code, text) = at_terminal(&arguments, &reach(), &[("Type \"yes\" to continue: ", "\u{3}")]);
    assert!(code == 4 && text.ends_with("nothing was changed\r\n"), "Ctrl-C at the question: {text:?}");
    untouched(&stream);
    let (code, text) = at_terminal(&[&arguments[..], &["--max-changes", "0"]].concat(), &reach(), &[]);
    assert!(code == 3 && !text.contains("Change 0"), "{text}");
    let (code, text) = at_terminal(&arguments, &reach(), &[("Type \"yes\" to continue: ", "yes\n")]);
    assert_eq!(code, 0, "{text}");
    assert!(is_sealed(&stream, &key));
    for shown in [
        "observing 0/1 [",
        &format!("{stream}: starting encryption"),
        &format!("{stream}: proving with a record"),
        "sealing 0/1 [",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(text.contains("\u{1b}[32m") && text.find("to encrypt").unwrap() < text.find("sealing").unwrap(), "{text}");
    // The bar goes, the result stays.
    let last = text.rsplit("\u{1b}[2K").next().unwrap();
    assert!(!last.contains("sealing"), "{last}");

    let variables: Vec<(&str, &str)> = reach().into_iter().chain([("NO_COLOR", "1")]).collect();
    let (code, text) = at_terminal(&["seal", &stream, "--yes", "--policy", policy.to_str().unwrap()], &variables, &[]);
    assert!(code == 0 && !text.contains("\u{1b}[32m") && !text.contains("\u{1b}[1m"), "{text:?}");
}

/// `seal --yes` of these streams behind a layer in which a stream that was started stays UPDATING until its clock is moved on, at the
/// moment when the first of them was started.
fn sealing(policy: &std::path::Path, streams: &[&str]) -> (Layer, Running) {
    let layer = Layer::start(&json!({"hold": [{"stream": "*", "updating_ms": 3_600_000}]}));
    // Its clock stands from here on.
    layer.advance(0);
    let variables = [("AWS_ENDPOINT_URL", layer.url.as_str()), ("AWS_REGION", REGION)];
    let arguments = ["seal", "--yes", "--policy", policy.to_str().unwrap(), "--account", ACCOUNT];
    let running = Running::start(command(&[&arguments, streams].concat(), &variables));
    let end = Instant::now() + PATIENCE;
    while layer.calls("kinesis:StartStreamEncryption", streams[0]).iter().all(|call| call["applied"] != true) {
        assert!(Instant::now() < end, "{} is not started", streams[0]);
        std::thread::sleep(Duration::from_millis(20));
    }
    (layer, running)
}

/// A command that runs, and what it says on standard error meanwhile.
pub(super) struct Running {
    child: std::process::Child,
    err: std::io::BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let err = std::io::BufReader::new(child.stderr.take().unwrap());
        Self { child, err, said: String::new() }
    }

    pub(super) fn interrupt(&self) {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
    }

    /// Reads on until it said this.
    pub(super) fn says(&mut self, words: &str) {
        while !self.said.contains(words) {
            assert!(
                self.err.read_line(&mut self.said).unwrap() > 0,
                "it ended and did not say {words:?}: {}",
                self.said
            );
        }
    }

    /// Its exit code, what it printed and what it said.
    pub(super) fn end(mut self) -> Ran {
        self.err.read_to_string(&mut self.said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Ran { code: output.status.code().unwrap(), out: String::from_utf8(output.stdout).unwrap(), err: self.said }
    }
}

#[test]
fn ctrl_c_finishes_what_was_begun_and_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("cut");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}"));
    let [one, two] = ["one", "two"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&one, &two]);
    let (layer, mut running) = sealing(&policy, &[&one, &two]);
    running.interrupt();
    running.says(&format!("{one}: finishing the current change"));
    layer.advance(3_600_000);
    let Ran { code, out, err } = running.end();
    assert_eq!(code, 4, "{out}{err}");
    assert!(err.contains(&format!("interrupted; not changed: {two}")), "{err}");
    assert!(out.contains(&format!("sealed  {one}")) && out.contains("proof: probe"), "{out}");
    assert!(is_sealed(&one, &key));
    untouched(&two);
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_says_what_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("cut-off");
    let policy = policy(&folder, &prefix);
    parts().key(&format!("alias/{prefix}"));
    let [one, two] = ["one", "two"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&one, &two]);
    let (_layer, mut running) = sealing(&policy, &[&one, &two]);
    running.interrupt();
    running.says("press Ctrl-C again to stop now");
    running.interrupt();
    // The stream is still UPDATING there, and would be for an hour.
    let Ran { code, out, err } = running.end();
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        err.contains(&format!("error: stopped while {one} was being changed or proven; the result is unknown")),
        "{err}"
    );
    assert!(err.contains(&format!("help: `streamseal explain {one}` says how it is now")), "{err}");
    assert!(!out.contains("sealed"), "nothing is claimed: {out}");
    untouched(&two);
}

#[test]
fn ctrl_c_while_it_observes_says_that_nothing_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = policy(&folder, "cut-early");
    // Each observation takes a second, and there are many of them; a call is seen once it was answered.
    let rule =
        json!({"op": "DescribeStreamSummary", "delay_ms": 1000, "error": "AccessDeniedException", "status": 400});
    let layer = Layer::start(&json!({"rules": [rule]}));
    let names: Vec<String> = (0..200).map(|n| format!("cut-early-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let arguments = ["seal", "--yes", "--policy", policy.to_str().unwrap(), "--account", ACCOUNT];
    let arguments = [&arguments[..], &names].concat();
    let running = Running::start(command(&arguments, &[("AWS_ENDPOINT_URL", &layer.url), ("AWS_REGION", REGION)]));
    let end = Instant::now() + PATIENCE;
    while layer.calls("kinesis:DescribeStreamSummary", "*").is_empty() {
        assert!(Instant::now() < end, "it observes no stream");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.interrupt();
    let Ran { code, out, err } = running.end();
    assert!(code == 4 && out.is_empty() && err.ends_with("nothing was changed\n"), "{code}: {out}{err}");
}

/// What was agreed to is the key of the plan; the alias moves while the stream before this one is sealed.
#[test]
fn a_plan_that_is_out_of_date_is_not_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("stale");
    let policy = policy(&folder, &prefix);
    let alias = format!("alias/{prefix}");
    let (key, other) = (parts().key(&alias), parts().key(&format!("{alias}-other")));
    let [one, two] = ["one", "two"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&one, &two]);
    let (layer, running) = sealing(&policy, &[&one, &two]);
    parts().kms("UpdateAlias", json!({"AliasName": alias, "TargetKeyId": other}));
    layer.advance(3_600_000);
    let Ran { code, out, err } = running.end();
    assert_eq!(code, 3, "{out}{err}");
    let said = format!("{two}: not changed: the plan is out of date; the policy now requires {other}");
    assert!(err.contains(&said) && !out.contains(&format!("sealed  {two}")), "{out}{err}");
    assert!(layer.calls("kinesis:StartStreamEncryption", &two).is_empty());
    untouched(&two);
    assert_eq!(parts().describe(&one)["KeyId"], json!(key), "the run before had begun");
}

#[test]
fn a_refusal_comes_with_the_statement_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("refused");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}"));
    let stream = format!("{prefix}-orders");
    active(&[&stream]);
    let rule = json!({"op": "StartStreamEncryption", "error": "AccessDeniedException", "status": 400, "message": "not authorized"});
    let layer = Layer::start(&json!({"rules": [rule]}));
    let arguments =
        ["seal", "--yes", &stream, "--policy", policy.to_str().unwrap(), "--account", ACCOUNT, "--region", REGION];
    let Ran { code, out, err } = run(&arguments, &[("AWS_ENDPOINT_URL", &layer.url)]);
    assert!(code == 3 && out.contains(&format!("wrong   {stream}: start-refused")), "{out}{err}");
    let statement =
        json!({"Effect": "Allow", "Action": "kinesis:StartStreamEncryption", "Resource": [stream_arn(&stream), key]});
    assert!(err.contains(&statement.to_string()), "{err}");
    untouched(&stream);
}
