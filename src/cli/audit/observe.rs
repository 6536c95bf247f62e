//! The observations of an audit: every stream of one Region, several at once, by the code that scans observe with. It reads, and nothing else.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use jiff::SignedDuration;

use super::filter::Filter;
use super::report::{Broken, Ended, Region};
use crate::aws::Aws;
use crate::cli::context::Context;
use crate::cli::keys::complete;
use crate::cli::output::{advice_on, may_go_on};
use crate::domain::arn::{StreamArn, StreamName};
use crate::domain::cause::Cause;
use crate::domain::codes::refuses_credentials;
use crate::domain::denial::{PolicyKind, denial};
use crate::domain::evidence::Evidence;
use crate::domain::failure::{Failure, Unfinished};
use crate::domain::model::Tags;
use crate::domain::policy::{Decision, Outcome};
use crate::domain::scan::subject::Group;
use crate::domain::text::EventText;
use crate::ports::{CallLog, Clock, PageStart};
use crate::run::inspect::{Inspection, inspect, unobserved};
use crate::run::observe::{Compared, Observer, Unobserved};
use crate::run::session::Session;

/// Longer than any audit: what ends one is its end, or its user.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Streams whose tags are asked for with one request: as many as a page of ListStreams has.
const PAGE: usize = 100;
/// Observations that are under way at once: the rate is what bounds them, and not how long an answer takes to come here.
const AT_ONCE: usize = 16;
/// So many streams in a row that cannot be checked, for what passes elsewhere, are no fault of theirs: the Region is given up. Those
/// that are under way at once fail at once, and say no more than one.
const IN_A_ROW: usize = AT_ONCE + 4;

/// Observes every stream of the Region that `session` and `context` are of and that `filter` takes, or those in `names` alone, until `stop`
/// ends.
pub(super) async fn region(
    context: &Context,
    session: &Session<'_>,
    (opt_in, filter, names): (bool, &Filter, Option<Vec<StreamName>>),
    bar: &ProgressBar,
    stop: impl Future<Output = ()> + Unpin,
) -> Region {
    let aws = &context.aws;
    let cause = Cause { call: EventText::new("audit"), event_id: None, actor: None, at: None, creator: None };
    let mut round = Round {
        aws,
        observer: Observer::of_scan(aws, session, Group::Policy),
        inspection: Inspection { session, cause, requested_at: aws.now(), attempt: 0, by: "an audit" },
        session,
        filter,
        bar,
        in_a_row: InARow::default(),
        region: Region::new(&session.config.own.account, &session.config.own.region),
    };
    let ended = match select(pin!(round.run(names)), stop).await {
        Either::Left((ended, _)) => Some(ended),
        Either::Right(_) => None,
    };
    if ended.is_none() {
        round.region.ended = Ended::Interrupted;
    }
    if let Some(Err(why)) = ended {
        let failure = match &why {
            Unfinished::Call(failure) if round.region.listed == 0 => Some(failure),
            _ => None,
        };
        round.region.ended = match failure {
            Some(failure) if opt_in && refuses_credentials(failure) => Ended::NotEnabled,
            Some(failure) if is_denied_by_the_organization(failure) => Ended::Denied,
            _ => Ended::Failed(Broken {
                why: why.to_string(),
                help: advice_on(&why, Some(&session.config.own), &[]),
                passes: may_go_on(&why),
            }),
        };
    }
    round.region.streams.retain(|evidence| filter.is_about(evidence.rule.as_ref().map(|(_, name)| name.as_str())));
    let log = CallLog::default();
    let keys = round.region.streams.iter_mut().flat_map(|evidence| &mut evidence.keys);
    complete(&context.sdk, &session.config.own, keys.collect(), &log).await;
    round.count_calls(&log);
    round.region
}

/// Whether a service control policy has a Deny for it: no permission that the account could give would help.
fn is_denied_by_the_organization(failure: &Failure) -> bool {
    let by = denial(failure.message.as_str()).by;
    by.is_some_and(|by| by.kind == PolicyKind::ServiceControl && by.explicit)
}

struct Round<'a> {
    aws: &'a Aws,
    observer: Observer<'a, Aws>,
    inspection: Inspection<'a>,
    session: &'a Session<'a>,
    filter: &'a Filter,
    bar: &'a ProgressBar,
    in_a_row: InARow,
    region: Region,
}

impl Round<'_> {
    async fn run(&mut self, names: Option<Vec<StreamName>>) -> Result<(), Unfinished> {
        let names = match names {
            Some(names) => names,
            None => self.names().await?,
        };
        for page in names.chunks(PAGE) {
            let log = CallLog::default();
            let tags = self.observer.tags_of(page, &log).await;
            self.count_calls(&log);
            let logs: Vec<CallLog> = page.iter().map(|_| CallLog::default()).collect();
            let ended = self.observations(page, &tags, &logs).await;
            // Also of the observations that were under way when it was given up.
            logs.iter().for_each(|log| self.count_calls(log));
            ended?;
        }
        Ok(())
    }

    /// The observations of one page, several under way at once, and each reported in its place.
    async fn observations(
        &mut self,
        page: &[StreamName],
        tags: &BTreeMap<StreamName, Tags>,
        logs: &[CallLog],
    ) -> Result<(), Unfinished> {
        let own = &self.session.config.own;
        let auditor = Auditor { aws: self.aws, observer: &self.observer, inspection: &self.inspection };
        let observations =
            page.iter().zip(logs).map(|(name, log)| auditor.observe(own.stream(name.clone()), tags.get(name), log));
        let mut observations = stream::iter(observations).buffered(AT_ONCE);
        while let Some(ended) = observations.next().await {
            self.bar.inc(1);
            match ended {
                One::Reported(evidence) => {
                    self.in_a_row = InARow::default();
                    self.region.streams.push(*evidence);
                }
                One::Gone => self.region.gone += 1,
                One::Refused(evidence, why) => {
                    // A key that could not be read before says nothing new: many streams may be on it.
                    if evidence.calls.iter().any(|call| call.error.is_some()) {
                        self.in_a_row.one_more(&why)?;
                    }
                    self.region.streams.push(*evidence);
                }
            }
        }
        Ok(())
    }

    /// All names first: then the bar knows how far it is.
    async fn names(&mut self) -> Result<Vec<StreamName>, Unfinished> {
        let (mut names, mut last): (Vec<StreamName>, Option<StreamName>) = (Vec::new(), None);
        let mut from = PageStart::Beginning;
        loop {
            let log = CallLog::default();
            let page = self.observer.page(&from, last.as_ref(), &log).await;
            self.count_calls(&log);
            let page = page?;
            last = page.names.last().cloned().or(last);
            let before = names.len();
            names.extend(page.names.into_iter().filter(|name| self.filter.observes(name)));
            self.region.listed = names.len();
            self.bar.inc_length(u64::try_from(names.len() - before).unwrap_or_default());
            match page.next {
                Some(next) => from = next,
                None => return Ok(names),
            }
        }
    }

    fn count_calls(&mut self, log: &CallLog) {
        for call in log.calls() {
            *self.region.calls.entry(call.call).or_default() += 1;
        }
    }
}

/// What one observation came to.
enum One {
    Reported(Box<Evidence>),
    /// The stream went away meanwhile.
    Gone,
    /// It could not be checked: that is reported, and why.
    Refused(Box<Evidence>, Unfinished),
}

/// What an observation needs; many are under way at once.
#[derive(Clone, Copy)]
struct Auditor<'a> {
    aws: &'a Aws,
    observer: &'a Observer<'a, Aws>,
    inspection: &'a Inspection<'a>,
}

impl Auditor<'_> {
    /// One observation; `log` has the calls that it took.
    async fn observe(self, stream: StreamArn, tags: Option<&Tags>, log: &CallLog) -> One {
        let Self { aws, observer, inspection } = self;
        let evidence = |decision: &Decision, compared: Option<&Compared>, verdict| {
            Box::new(inspection.evidence(&stream, decision, compared, verdict, Vec::new(), (log, aws.now())))
        };
        let refused = |decision: &Decision, failed: Unobserved| {
            let why = failed.why();
            One::Refused(evidence(decision, None, unobserved(&why)), why)
        };
        match observer.decide(&stream, tags, log).await {
            Err(unobserved) if unobserved.is_gone() => One::Gone,
            Err(unobserved) => {
                let reasons = vec!["its tags cannot be read, so that no rule can be determined".to_owned()];
                refused(&Decision { rule: None, outcome: Outcome::Unmatched, tags: Tags::new(), reasons }, unobserved)
            }
            Ok(decision) => match inspect(observer, stream.clone(), &decision, true, log).await {
                Ok(None) => One::Gone,
                Err(unobserved) => refused(&decision, unobserved),
                Ok(Some(inspected)) => {
                    let verdict = inspection.verdict(&inspected.compared, aws.now());
                    let verdict = verdict.unwrap_or_else(|step| inspection.unfinished(&step));
                    One::Reported(evidence(&decision, Some(&inspected.compared), verdict))
                }
            },
        }
    }
}

/// How many streams in a row could not be checked.
#[derive(Debug, Default)]
struct InARow(usize);

impl InARow {
    /// One is reported as its own; many in a row are the fault of something else.
    fn one_more(&mut self, why: &Unfinished) -> Result<(), Unfinished> {
        self.0 += 1;
        if why.fault().is_none() && self.0 >= IN_A_ROW { Err(why.clone()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Class, Fault};

    #[test]
    fn many_in_a_row_end_it_unless_each_is_refused_for_good() {
        let passing = Failure::retryable("kinesis:DescribeStreamSummary", "NoAnswer", "none");
        let refused = Unfinished::Call(Failure { class: Class::Permanent(Fault::Access), ..passing.clone() });
        let passing = Unfinished::Call(passing);
        let mut in_a_row = InARow::default();
        assert!(
            (0..2 * IN_A_ROW).all(|_| in_a_row.one_more(&refused).is_ok()),
            "a policy may refuse every stream, and each is reported"
        );
        let mut in_a_row = InARow::default();
        let reported = (0..IN_A_ROW).filter(|_| in_a_row.one_more(&passing).is_ok()).count();
        assert_eq!(reported, 19);
    }
}
