//! `streamseal seal`: the plan first, then the question, then the same loop as the function's, one stream after the other.

mod action;
mod arguments;
mod ending;
mod planned;
mod undone;

use std::io::IsTerminal;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use self::action::Action;
pub(crate) use self::arguments::SealArguments;
use self::planned::Planned;
use super::arguments::Globals;
use super::audit::filter::has_rule;
use super::confirm::{confirmed, unless_interrupted};
use super::context::{Context, OBSERVATION_MAX, policy_source};
use super::exit::Exit;
use super::heading::{document, header};
use super::impact::{Before, key_of};
use super::keys::complete;
use super::output::{BAD, GOOD, STRONG, Stop, advice_on, result, styled, to_stderr};
use super::progress::bar;
use super::runs::is_out_of_date;
use super::watching::{Done, carry_out, watched_for};
use super::words;
use crate::domain::evidence::known::known;
use crate::domain::evidence::v1::Document;
use crate::domain::model::Mode;
use crate::domain::policy::{Effect, Existing, Policy};
use crate::domain::remedy::advice::Remedy;
use crate::ports::CallLog;
use crate::run::reconcile::preview::preview;

pub(super) async fn run(arguments: &SealArguments, globals: &Globals) -> Result<Exit, Stop> {
    let asks = !arguments.yes && !arguments.dry_run;
    if asks && !std::io::stdin().is_terminal() {
        let stop = Stop::usage("seal must ask before it changes streams, but standard input is not a terminal");
        return Err(stop.help("use `--yes` to change streams without asking, or `--dry-run` to show the plan"));
    }
    let watch = arguments.watch.as_deref().map(watched_for).transpose()?;
    let observing = bar(arguments.streams.len(), "observing");
    let prepared = unless_interrupted(prepared(arguments, globals, &observing)).await;
    observing.finish_and_clear();
    let Some(prepared) = prepared else { return Ok(Exit::TryAgain) };
    let (context, policy, plan, impact) = prepared?;
    let changes = plan.iter().filter(|planned| planned.action.changes()).count();
    let beyond = changes.saturating_sub(arguments.max_changes);
    let reported = [lines(&plan, &context, &policy, arguments)].into_iter().chain(impact.lines());
    let reported = reported.collect::<Vec<_>>().join("\n");
    if !globals.json {
        result(&reported);
    } else if asks {
        to_stderr(&reported);
    } else {
        // Nobody may read it before the streams are changed, but then it can be read whose they are.
        to_stderr(header(&context, Mode::Enforce));
    }
    let before = plan.iter().fold(Exit::Compliant, |exit, planned| exit.worse(planned.exit()));
    let now = changes - beyond;
    let refused = arguments.yes && impact.losses() > 0 && !arguments.accept_loss;
    if refused {
        to_stderr(refusal(&impact));
    }
    let goes = if asks && now > 0 {
        match unless_interrupted(confirmed(&question(now))).await {
            Some(answer) => answer?,
            None => return Ok(Exit::TryAgain),
        }
    } else {
        now > 0 && !arguments.dry_run && !refused
    };
    let (mut applied, mut exit) = (None, before);
    if goes {
        let changes = plan.iter().filter(|planned| planned.action.changes()).take(arguments.max_changes);
        let changes = changes.map(Planned::to_change).collect();
        let done = carry_out(&context, &policy, changes, (watch, globals.json)).await?;
        let rest = plan.iter().filter(|planned| !planned.action.changes()).map(Planned::exit);
        let rest = rest.fold(done.exit(), Exit::worse);
        exit = if beyond > 0 { rest.worse(Exit::NonCompliant) } else { rest };
        applied = Some(done);
    }
    if globals.json {
        let fields = to_json(&plan, &impact, applied.as_ref(), &policy, arguments.max_changes);
        result(document(&context, "streamseal.seal/v1", fields));
    } else if !refused {
        result(ending::closing(&context.given, applied.as_ref(), &plan, arguments));
    }
    Ok(exit)
}

/// What is known before anything is asked or changed.
async fn prepared(
    arguments: &SealArguments,
    globals: &Globals,
    observing: &ProgressBar,
) -> Result<(Context, Policy, Vec<Planned>, Before), Stop> {
    let by_key = arguments.key.as_deref().map(policy_of_key).transpose()?;
    let source = by_key.map(|text| format!("inline:{text}")).or_else(|| policy_source(globals));
    let context = Context::with_policy(globals, None, &arguments.streams, source).await?;
    let mut policy = context.policy().await?;
    if arguments.include_existing {
        enforce_existing(&mut policy);
    }
    let plan = planned(&context, &policy, arguments, observing).await?;
    let before = impact(&context, &plan, arguments, observing).await;
    Ok((context, policy, plan, before))
}

fn question(changes: usize) -> String {
    format!("Change {changes} stream{}?", if changes == 1 { "" } else { "s" })
}

/// The plan and what came of it, where it was carried out.
fn to_json(plan: &[Planned], impact: &Before, applied: Option<&Done>, policy: &Policy, max_changes: usize) -> Value {
    let mut room = max_changes;
    let plan: Vec<Value> = plan
        .iter()
        .map(|planned| {
            let left = planned.action.changes() && room == 0;
            room = room.saturating_sub(usize::from(planned.action.changes()));
            planned.to_json(left, impact)
        })
        .collect();
    let watched = applied.and_then(Done::watched);
    let applied = applied.map(Done::ran);
    let done = applied.map(|ran| ran.done.iter().map(Document::from).collect::<Vec<_>>());
    let left = applied.map(|ran| ran.left.iter().map(ToString::to_string).collect::<Vec<_>>());
    let stale = applied.map(|ran| ran.done.iter().filter(|evidence| is_out_of_date(evidence)));
    let stale = stale.map(|stale| stale.map(|evidence| evidence.stream.to_string()).collect::<Vec<_>>());
    let mut document = json!({
        "policy": policy.digest, "plan": plan, "evidence": done, "left": left,
        "out_of_date": stale,
    });
    if let (Some(watched), Some(document)) = (watched, document.as_object_mut()) {
        document.insert("watched".to_owned(), watched);
    }
    document
}

/// The policy of `--key`: every stream that is named gets this key. A customer's key is not given up for one of AWS's by it.
fn policy_of_key(key: &str) -> Result<String, Stop> {
    let key = key_of(key)?;
    Ok(format!(
        "{{version: 1, defaults: {{existing: enforce, settle: {{terraform: 0s, cloudformation: 0s, pulumi: 0s}}}}, rules: \
         [{{name: key, key: '{key}'}}]}}"
    ))
}

/// Who would lose access by the changes that come first.
async fn impact(context: &Context, plan: &[Planned], arguments: &SealArguments, bar: &ProgressBar) -> Before {
    let changes = plan.iter().filter(|planned| planned.action.changes()).take(arguments.max_changes);
    Before::check(context, changes.map(|planned| (&planned.stream, &planned.preview)), bar).await
}

/// Whoever names a stream may have it changed, although its rule only reports streams of its age.
fn enforce_existing(policy: &mut Policy) {
    for rule in &mut policy.rules {
        if let Effect::Encrypt(encrypt) = &mut rule.effect {
            encrypt.existing = Existing::Enforce;
        }
    }
}

/// Why nothing is done unasked.
fn refusal(impact: &Before) -> String {
    let losses = match impact.losses() {
        1 => "1 principal would lose access".to_owned(),
        several => format!("{several} principals would lose access"),
    };
    let why = format!("{}: {losses}; nothing was changed", styled(BAD, "error"));
    let help = "`streamseal impact` prints the statements that prevent it; `--accept-loss` changes the streams anyway";
    format!("{why}\n{}: {help}", styled(GOOD, "help"))
}

/// One observation of each stream.
async fn planned(
    context: &Context,
    policy: &Policy,
    arguments: &SealArguments,
    bar: &ProgressBar,
) -> Result<Vec<Planned>, Stop> {
    arguments.only.iter().try_for_each(|only| has_rule(policy, only))?;
    let streams = if arguments.all { context.all_streams().await? } else { context.streams(&arguments.streams)? };
    bar.set_length(u64::try_from(streams.len()).unwrap_or(u64::MAX));
    let mut plan = Vec::new();
    for stream in streams {
        context.turn().await?;
        bar.set_message(stream.name.to_string());
        let work = context.work(stream.clone(), "seal");
        let preview = preview(&context.aws, &work, &context.session(policy, Mode::Enforce, OBSERVATION_MAX)).await;
        bar.inc(1);
        // One that vanished from the list is nobody's fault; one that was named is a slip of the pen.
        let action = Action::of(&preview);
        if action == Action::Gone && !arguments.all {
            return Err(Stop::failure(format!("{stream} does not exist or is being deleted; nothing was changed")));
        }
        if arguments.only.is_none() || preview.rule == arguments.only {
            let keys = known(&preview.keys);
            plan.push(Planned { stream, action, keys, preview, undone: None });
        }
    }
    let keys = plan.iter_mut().flat_map(|planned| &mut planned.keys);
    complete(&context.sdk, &context.config.own, keys.collect(), &CallLog::default()).await;
    // What is not encrypted goes first, also where not all may be changed.
    plan.sort_by_key(|planned| planned.action.turn());
    for planned in plan.iter_mut().filter(|planned| planned.action.changes()).take(arguments.max_changes) {
        planned.undone = undone::undone(context, policy, planned).await;
    }
    // Where STS could not be asked, this says whose the list is.
    if !plan.is_empty() && plan.iter().all(|planned| planned.action == Action::Gone) && arguments.only.is_none() {
        let account = &context.config.own.account;
        let stop = Stop::failure(format!("none of the {} listed streams exists", plan.len()));
        return Err(stop.help(format!("check that the credentials belong to account {account}")));
    }
    Ok(plan)
}

/// The plan, to be read.
fn lines(plan: &[Planned], context: &Context, policy: &Policy, arguments: &SealArguments) -> String {
    let count = |action: Action| plan.iter().filter(|planned| planned.action == action).count();
    let there = plan.len() - count(Action::Gone);
    let s = if there == 1 { "" } else { "s" };
    let head = format!("plan for {there} stream{s} ({})", policy.digest);
    let mut lines = vec![header(context, Mode::Enforce), styled(STRONG, head)];
    let mut room = arguments.max_changes;
    let shown =
        plan.iter().filter(|planned| !arguments.all || !matches!(planned.action, Action::Nothing | Action::Gone));
    for planned in shown {
        let by = words::decided_by(planned.preview.rule.as_deref(), &planned.preview.tags);
        let beyond = match (planned.action.changes(), room) {
            (true, 0) => ", skipped (--max-changes)",
            _ => "",
        };
        room = room.saturating_sub(usize::from(planned.action.changes()));
        lines.push(format!("{} {}: {}{by}{beyond}", planned.mark(), planned.stream.name, planned.words()));
        lines.extend(planned.undone.iter().map(|words| format!("  {words}")));
        lines.extend(words::remedy(&planned.preview.remedy));
        if let (Err(why), Remedy::None) = (&planned.preview.step, &planned.preview.remedy) {
            let stream = planned.stream.to_string();
            lines.extend(advice_on(why, Some(&context.config.own), &[&stream]).map(|words| format!("  {words}")));
        }
    }
    if arguments.fix {
        let changes = plan.iter().map(|planned| (planned.stream.name.as_str(), &planned.preview.remedy));
        lines.extend(words::changes(changes, words::faint));
    }
    let gone = match count(Action::Gone) {
        0 => String::new(),
        gone => format!(", {gone} deleted since the list was read"),
    };
    lines.push(format!(
        "{} to encrypt, {} to re-key, {} waiting, {} withheld, {} blocked, {} unknown, {} compliant{gone}",
        count(Action::Encrypt),
        count(Action::Rekey),
        count(Action::Wait),
        count(Action::Withheld),
        count(Action::Fault),
        count(Action::Unknown),
        count(Action::Nothing),
    ));
    lines.extend(words::keys(plan.iter().flat_map(|planned| &planned.keys), words::faint));
    lines.join("\n")
}
