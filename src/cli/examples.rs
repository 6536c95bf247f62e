//! The examples in each command's `--help`: its exit codes follow them.

use clap::Command;

/// The commands, each with lines to paste: a command, and what it is for.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "init",
        &[
            ("streamseal init", "write streamseal.yaml from the streams of this Region"),
            ("streamseal init - --region eu-west-1", "print it"),
        ],
    ),
    (
        "check",
        &[
            ("streamseal check policy.yaml --strict", "a policy: faults, warnings"),
            ("streamseal check ssm:/streamseal/policy --resolve", "the deployed one, and its keys"),
            ("streamseal check policy.yaml --terraform plan.json", "the streams of a Terraform plan"),
        ],
    ),
    (
        "explain",
        &[
            ("streamseal explain orders", "which rule decides, and what would be done"),
            ("streamseal explain orders --tag team=payments", "the same with another tag"),
        ],
    ),
    (
        "impact",
        &[
            ("streamseal impact orders --key alias/orders", "who would lose access with this key"),
            ("streamseal impact --print-iam", "the IAM policy that this command needs"),
        ],
    ),
    (
        "seal",
        &[
            ("streamseal seal orders --dry-run", "show the plan"),
            ("streamseal seal orders --include-existing", "also streams that the policy only reports"),
            ("streamseal seal --all --watch 20m", "one stream first, and watch its users"),
            ("streamseal seal --print-iam", "the IAM policy that this command needs"),
        ],
    ),
    (
        "prove",
        &[
            ("streamseal prove orders --dry-run", "show what would be written"),
            ("streamseal prove orders payments --yes", "prove two streams without asking"),
            ("streamseal prove orders --observe", "with a record that a producer wrote"),
        ],
    ),
    (
        "audit",
        &[
            ("streamseal audit", "every stream of this Region, by ./streamseal.yaml if it is there"),
            ("streamseal audit --all-regions -o audit.html -o audit.json", "a report, and a file to compare with"),
            ("streamseal audit --since audit.json --fail-on new", "fail only on what is newly non-compliant"),
            ("streamseal audit --non-compliant --stream 'orders-*'", "only the non-compliant ones of some streams"),
            ("streamseal audit --format markdown", "a summary for a pull request"),
        ],
    ),
    (
        "replay",
        &[("streamseal replay events/kinesis-create-stream-provisioned.json --offline", "what an event would cause")],
    ),
    (
        "doctor",
        &[("streamseal doctor --stack streamseal", "whether events reach the function, and what it may not do")],
    ),
    ("schema", &[("streamseal schema", "the policy's schema, for an editor")]),
    ("completions", &[("streamseal completions bash", "for ~/.bashrc: source <(streamseal completions bash)")]),
    ("man", &[("streamseal man", "the page of the whole command")]),
];

/// The commands with their examples.
pub(super) fn add(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (name, lines)| {
        command.mut_subcommand(name, |subcommand| {
            let codes = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            subcommand.after_long_help(format!("{}\n{codes}", text(lines)))
        })
    })
}

fn text(lines: &[(&str, &str)]) -> String {
    let line = |(command, what): &(&str, &str)| format!("  {command}\n      {what}\n");
    format!("Examples:\n{}", lines.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_it_understands() {
        let command = super::super::arguments();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            let (_, lines) = EXAMPLES.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("{name} has none"));
            for (line, _) in *lines {
                let words = line.split(' ').map(|word| word.trim_matches('\''));
                let parsed = command.clone().try_get_matches_from(words);
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(name), "{line}");
            }
            let help = subcommand.get_after_long_help().unwrap().to_string();
            assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{name}: {help}");
        }
        assert_eq!(EXAMPLES.len(), command.get_subcommands().count(), "and no others");
    }
}
