//! The looks of an audit: every stream of one Region, by the code that scans look with. It reads, and nothing else.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::report::{Broken, Ended, Region};
use crate::aws::{Aws, refuses_credentials};
use crate::cli::output::{advice, passes};
use crate::domain::event::Cause;
use crate::domain::evidence::Evidence;
use crate::domain::failure::{Class, Failure};
use crate::domain::model::{EventText, StreamName, Tags};
use crate::domain::policy::{Decision, Outcome};
use crate::look::{Looked, Looker, Purpose, unseen};
use crate::ports::{CallLog, Clock, PageStart};
use crate::reconcile::Settings;

/// Streams whose tags are asked for with one request: as many as a page of ListStreams has.
const PAGE: usize = 100;
/// So many streams in a row that cannot be looked at, for what passes elsewhere, are no fault of theirs: the Region is given up.
const IN_A_ROW: u32 = 5;

/// Looks at every stream of the Region that `settings` and `aws` are of.
pub(super) async fn region(aws: &Aws, settings: &Settings<'_>, opt_in: bool, bar: &ProgressBar) -> Region {
    let cause = Cause { call: EventText::new("audit"), event_id: None, actor: None, at: None, creator: None };
    let purpose = Purpose { cause, asked: aws.now(), attempt: 0, by: "an audit" };
    let mut round = Round {
        looker: Looker::new(aws, settings, purpose),
        settings,
        bar,
        in_a_row: InARow::default(),
        region: Region::new(&settings.config.own.region),
    };
    if let Err(failure) = round.go().await {
        round.region.ended = if opt_in && refuses_credentials(&failure) && round.region.listed == 0 {
            Ended::NotEnabled
        } else {
            Ended::Failed(Broken {
                why: failure.to_string(),
                help: advice(&failure, Some(&settings.config.own), &[]),
                passes: passes(&failure),
            })
        };
    }
    round.region
}

struct Round<'a> {
    looker: Looker<'a, Aws>,
    settings: &'a Settings<'a>,
    bar: &'a ProgressBar,
    in_a_row: InARow,
    region: Region,
}

impl Round<'_> {
    async fn go(&mut self) -> Result<(), Failure> {
        let names = self.names().await?;
        for page in names.chunks(PAGE) {
            let log = CallLog::default();
            let tags = self.looker.tags_of(page, &log).await;
            self.count_calls(&log);
            for name in page {
                let log = CallLog::default();
                let evidence = self.stream(name, tags.get(name), &log).await;
                self.count_calls(&log);
                self.bar.inc(1);
                match evidence? {
                    Some(evidence) => self.region.streams.push(evidence),
                    None => self.region.gone += 1,
                }
            }
        }
        Ok(())
    }

    /// All names first: then the bar knows how far it is.
    async fn names(&mut self) -> Result<Vec<StreamName>, Failure> {
        let mut names: Vec<StreamName> = Vec::new();
        let mut from = PageStart::Beginning;
        loop {
            let log = CallLog::default();
            let page = self.looker.page(&from, names.last(), &log).await;
            self.count_calls(&log);
            let page = page?;
            self.region.listed += page.names.len();
            self.bar.inc_length(u64::try_from(page.names.len()).unwrap_or_default());
            names.extend(page.names);
            match page.next {
                Some(next) => from = next,
                None => return Ok(names),
            }
        }
    }

    /// The evidence of one look; `None` where the stream went away meanwhile.
    async fn stream(
        &mut self,
        name: &StreamName,
        tags: Option<&Tags>,
        log: &CallLog,
    ) -> Result<Option<Evidence>, Failure> {
        let stream = self.settings.config.own.stream(name.clone());
        let decision = match self.looker.decide(&stream, tags, log).await {
            Ok(Some(decision)) => decision,
            Ok(None) => return Ok(None),
            Err(failure) => {
                self.in_a_row.one_more(&failure)?;
                let reasons = vec!["its tags cannot be read, so that no rule can be told".to_owned()];
                let decision = Decision { rule: None, outcome: Outcome::Unmatched, reasons };
                return Ok(Some(self.looker.evidence(&stream, &decision, None, unseen(&failure), Vec::new(), log)));
            }
        };
        let refused = match self.looker.look(stream.clone(), &decision, true, log).await {
            Ok(Looked::Seen(seen)) => {
                self.in_a_row = InARow::default();
                let verdict = self.looker.verdict(&seen).unwrap_or_else(|step| self.looker.unfinished(&step));
                return Ok(Some(self.looker.evidence(&stream, &decision, Some(&seen), verdict, Vec::new(), log)));
            }
            Ok(Looked::Gone) => return Ok(None),
            Ok(Looked::Refused(failure)) | Err(failure) => failure,
        };
        self.in_a_row.one_more(&refused)?;
        Ok(Some(self.looker.evidence(&stream, &decision, None, unseen(&refused), Vec::new(), log)))
    }

    fn count_calls(&mut self, log: &CallLog) {
        let calls: &mut BTreeMap<&'static str, u64> = &mut self.region.calls;
        for call in log.calls() {
            *calls.entry(call.call).or_default() += 1;
        }
    }
}

/// How many streams in a row could not be looked at.
#[derive(Debug, Default)]
struct InARow(u32);

impl InARow {
    /// One is told as its own; many in a row are the fault of something else.
    fn one_more(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.0 += 1;
        let may_pass = !matches!(failure.class, Class::Permanent(_));
        if may_pass && self.0 >= IN_A_ROW { Err(failure.clone()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Fault;

    #[test]
    fn many_in_a_row_end_it_unless_each_is_refused_for_good() {
        let passing = Failure::retryable("kinesis:DescribeStreamSummary", "NoAnswer", "none");
        let refused = Failure { class: Class::Permanent(Fault::Access), ..passing.clone() };
        let mut in_a_row = InARow::default();
        assert!(
            (0..20).all(|_| in_a_row.one_more(&refused).is_ok()),
            "a policy may refuse every stream, and each is told"
        );
        let mut in_a_row = InARow::default();
        let told = (0..IN_A_ROW).filter(|_| in_a_row.one_more(&passing).is_ok()).count();
        assert_eq!(told, 4);
    }
}
