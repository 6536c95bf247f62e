//! `streamseal doctor`: what must be there so that the function sees streams and can act, each fault with the command or the
//! statement that mends it. It only looks, and says what it could not look at.

mod judge;
mod look;

use serde_json::{Value, json};

use super::Exit;
use super::arguments::{DoctorArguments, Globals};
use super::context::{Context, identity, policy_source, variable};
use super::output::{BAD, FAINT, GOOD, ODD, Stop, advice, result, styled};
use crate::domain::failure::Failure;
use crate::domain::model::Scope;

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    about: &'static str,
    state: State,
    words: String,
    mend: Option<String>,
}

/// How it stands with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Fault,
    /// It could not be looked at.
    Unknown,
}

impl Finding {
    fn good(about: &'static str, words: impl Into<String>) -> Self {
        Self { about, state: State::Good, words: words.into(), mend: None }
    }

    fn fault(about: &'static str, words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, state: State::Fault, words: words.into(), mend: Some(mend.into()) }
    }

    fn unknown(about: &'static str, words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, state: State::Unknown, words: words.into(), mend: Some(mend.into()) }
    }

    /// A call of ours that failed says nothing of what it was to look at.
    fn unseen(about: &'static str, failure: &Failure, own: &Scope) -> Self {
        let words = format!("not looked at: {} failed ({}): {}", failure.call, failure.code, failure.message);
        Self { about, state: State::Unknown, words, mend: advice(failure, Some(own), &[]) }
    }

    fn to_json(&self) -> Value {
        let state = match self.state {
            State::Good => "good",
            State::Fault => "fault",
            State::Unknown => "unknown",
        };
        json!({"about": self.about, "state": state, "detail": self.words, "mend": self.mend})
    }

    fn print(&self) {
        let (style, word) = match self.state {
            State::Good => (GOOD, "ok"),
            State::Fault => (BAD, "FAULT"),
            State::Unknown => (ODD, "?"),
        };
        result(format_args!("{} {:<7} {}", styled(style, format_args!("{word:<5}")), self.about, self.words));
        if let Some(mend) = &self.mend {
            for line in mend.lines() {
                result(format_args!("      {}", styled(FAINT, line)));
            }
        }
    }
}

pub(super) async fn run(arguments: &DoctorArguments, globals: &Globals) -> Result<Exit, Stop> {
    let policy = policy_source(globals);
    // Without a policy there is still much to look at.
    let named = policy.clone().or_else(|| Some("inline:none".to_owned()));
    let context = Context::with_policy(globals, None, &[], named).await?;
    let own = &context.config.own;
    let mut findings = Vec::new();
    findings.push(match identity(&context.sdk).await {
        Ok(answer) => {
            let arn = answer.arn.unwrap_or_default();
            let words = format!("{arn}, for the streams of {} in {}", own.account, own.region);
            if answer.account.as_deref() == Some(own.account.as_str()) {
                Finding::good("caller", words)
            } else {
                Finding::fault(
                    "caller",
                    format!("{words}, which is another account"),
                    "name the account's profile with `--profile`",
                )
            }
        }
        Err(failure) => Finding::unseen("caller", &failure, own),
    });
    findings.push(look::streams(&context).await);
    findings.push(look::trail(&context).await);
    match arguments.queue_url.clone().or_else(|| variable("WORK_QUEUE_URL")) {
        Some(url) => findings.extend(look::queue(&context, &url).await),
        None => findings.push(Finding::unknown(
            "queue",
            "not looked at, and the rules that send to it neither: it is not named",
            format!("give it with `--queue-url`, the output of: {}", output_command("WorkQueueUrl")),
        )),
    }
    let keys = match policy {
        Some(_) => {
            let (of_policy, keys) = look::policy(&context).await;
            findings.extend(of_policy);
            keys
        }
        None => {
            let how = "give it with `--policy`, such as `--policy ssm:/streamseal/policy`";
            findings.push(Finding::unknown("policy", "not looked at: it is not named", how));
            Vec::new()
        }
    };
    match arguments.role.clone().or_else(|| variable("OWN_ROLE_ARN")) {
        Some(role) => findings.extend(look::role(&context, &role, &keys).await),
        None => findings.push(Finding::unknown(
            "role",
            "not looked at: it is not named",
            format!("give it with `--role`, the output of: {}", output_command("RoleArn")),
        )),
    }
    let exit = findings.iter().fold(Exit::Compliant, |exit, finding| {
        exit.worse(match finding.state {
            State::Good => Exit::Compliant,
            State::Unknown => Exit::TryAgain,
            State::Fault => Exit::NonCompliant,
        })
    });
    let not_looked_at = "not looked at by any of this: the function itself (its mode, its event source), key policies of other accounts, \
                         service control policies";
    if globals.json {
        let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
        result(json!({"schema": "streamseal.doctor/v1", "findings": findings, "not_looked_at": not_looked_at}));
    } else {
        findings.iter().for_each(Finding::print);
        result(styled(FAINT, not_looked_at));
    }
    Ok(exit)
}

fn output_command(name: &str) -> String {
    format!(
        "aws cloudformation describe-stacks --stack-name NAME --query \"Stacks[0].Outputs[?OutputKey=='{name}'].OutputValue\" \
         --output text"
    )
}
