//! What `seal` takes.

const CODES: &str = "Exit codes: 0 compliant, 1 failure, or stopped by a second Ctrl-C, 2 usage, 3 non-compliant, \
                     skipped, or changes planned but not applied, 4 try again, or stopped by Ctrl-C.";

/// So many streams are changed where nobody says more.
pub(super) const MAX_CHANGES: usize = 10;

/// Encrypts streams with their rule's key: shows the plan, asks, applies it, proves it
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct SealArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required_unless_present_any = ["all", "print_iam"])]
    pub(super) streams: Vec<String>,
    /// Every stream of the Region
    #[arg(long, conflicts_with = "streams")]
    pub(super) all: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Only show the plan
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Change at most this many streams
    #[arg(long, value_name = "N", default_value_t = MAX_CHANGES)]
    pub(super) max_changes: usize,
    /// Only streams that this rule decides
    #[arg(long, value_name = "RULE", conflicts_with = "key")]
    pub(super) only: Option<String>,
    /// Encrypt with this key instead of the one that the policy names
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    pub(super) key: Option<String>,
    /// Also change streams that the policy only reports because they are older than `enforce_from`
    #[arg(long, conflicts_with = "all")]
    pub(super) include_existing: bool,
    /// Continue even if a principal would lose access
    #[arg(long)]
    pub(super) accept_loss: bool,
    /// Watch each change for this long, such as `20m`; change one stream first, then two, four, eight
    #[arg(long, value_name = "TIME")]
    pub(super) watch: Option<String>,
    /// Also print the change to make, grouped by key: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    pub(super) fix: bool,
}
