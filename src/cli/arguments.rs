//! What several commands have on the command line. Nothing is read or called here; names and meanings are those of the AWS CLI
//! where it has the same thing.

use clap::ValueEnum;

/// The exit codes of commands that observe streams.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 compliant, 1 failure, 2 usage, 3 non-compliant, 4 try again.";
/// Those of commands that print what is made from the program itself.
pub(crate) const WRITTEN_CODES: &str = "Exit codes: 0 printed or written, 1 failure, 2 usage.";

/// The modes that a run can be asked to assume, as the variable MODE has them.
pub(crate) const MODES: [&str; 2] = ["report", "enforce"];

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use this profile of ~/.aws/config [env: AWS_DEFAULT_PROFILE, AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The Region of the streams; for `audit` it may be repeated [env: AWS_REGION, AWS_DEFAULT_REGION; else the profile's]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// Call this URL instead of AWS's, for every service [env: AWS_ENDPOINT_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The account of the streams [env: ACCOUNT_ID; else the account of the credentials]
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// The policy: a file, `-` for standard input, or `ssm:NAME` for a parameter of Systems Manager [env: POLICY; else
    /// ./streamseal.yaml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print the IAM policy that this command needs, with these options, and do nothing else
    #[arg(long, global = true)]
    pub(crate) print_iam: bool,
    /// When to use colours: `auto` uses them on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
}

impl Globals {
    /// As if what is blank had not been given, as for variables: scripts pass what they have.
    pub(crate) fn without_blanks(mut self) -> Self {
        let is_blank = |text: &String| text.trim().is_empty();
        self.region.retain(|region| !is_blank(region));
        for argument in [&mut self.profile, &mut self.endpoint_url, &mut self.account, &mut self.policy] {
            *argument = argument.take().filter(|text| !is_blank(text));
        }
        self
    }
}

/// These options as they have to stand in another command that is to work on the same streams.
pub(crate) fn repeated(globals: &Globals) -> String {
    let Globals { profile, region, endpoint_url, account, policy, .. } = globals;
    let given = [("profile", profile), ("endpoint-url", endpoint_url), ("account", account), ("policy", policy)];
    let given = given.into_iter().map(|(flag, value)| options(flag, value));
    given.chain([options("region", region)]).collect()
}

/// An option as it is typed, once for each value.
pub(crate) fn options<'v>(flag: &str, values: impl IntoIterator<Item = &'v String>) -> String {
    let one = |value: &String| {
        // What begins with a hyphen would be taken for an option of its own.
        let between = if value.starts_with('-') && value != "-" { '=' } else { ' ' };
        format!(" --{flag}{between}{}", shell_word(value))
    };
    values.into_iter().map(one).collect()
}

/// An option without a value, where it is given.
pub(crate) fn switch(flag: &str, is_given: bool) -> String {
    if is_given { format!(" --{flag}") } else { String::new() }
}

/// Quoted where a shell would read more into it.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    let is_one = !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain);
    if is_one { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// When to print in colours.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// The one that stands among arguments that nobody has read yet.
    pub(crate) fn of(arguments: impl Iterator<Item = String>) -> Self {
        let (mut color, mut is_next) = (Self::default(), false);
        for argument in arguments.take_while(|argument| argument != "--") {
            let value = if is_next { Some(argument.as_str()) } else { argument.strip_prefix("--color=") };
            if let Some(named) = value.and_then(|value| Self::from_str(value, false).ok()) {
                color = named;
            }
            is_next = argument == "--color";
        }
        color
    }

    /// The same for what clap prints itself.
    pub(crate) fn of_clap(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }

    /// From here on everything that is printed goes by it.
    pub(crate) fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_command_is_given_what_this_one_was() {
        assert_eq!(repeated(&Globals::default()), "");
        let globals = Globals {
            profile: Some("a b".to_owned()),
            region: vec!["eu-west-1".to_owned()],
            policy: Some("it's.yaml".to_owned()),
            json: true,
            ..Globals::default()
        };
        assert_eq!(repeated(&globals), r" --profile 'a b' --policy 'it'\''s.yaml' --region eu-west-1");
    }
}
