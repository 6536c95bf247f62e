//! What the search for a stream's users has found so far, and what it could not check. Each source is a file that adds to it.

use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::pages::at_most;
use crate::domain::access::principal::Principal;
use crate::domain::arn::StreamArn;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::{Finding, Side, Tier, Who};
use crate::domain::impact::report::NotChecked;
use crate::domain::pace::Pace;
use crate::domain::text::EventText;
use crate::ports::Clock;

/// So many pages of one list are read. What is longer is said not to be checked to its end.
pub(super) const PAGES_MAX: usize = 20;
/// Longer than any wait at a rate that is kept here.
const LONG: Duration = Duration::from_hours(1);

/// The search for the users of some streams of one account and Region.
pub(super) struct Search<'a> {
    pub(super) context: &'a Context,
    pub(super) streams: Vec<Searched>,
    /// What concerns every stream.
    pub(super) not_checked: Vec<NotChecked>,
}

/// What was found of one stream.
pub(super) struct Searched {
    pub(super) arn: StreamArn,
    /// The ARNs of its registered consumers.
    pub(super) consumers: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) not_checked: Vec<NotChecked>,
    pub(super) notes: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(context: &'a Context, streams: impl IntoIterator<Item = StreamArn>) -> Self {
        let streams = streams.into_iter().map(|arn| Searched {
            arn,
            consumers: Vec::new(),
            findings: Vec::new(),
            not_checked: Vec::new(),
            notes: Vec::new(),
        });
        Self { context, streams: streams.collect(), not_checked: Vec::new() }
    }

    /// The stream of this ARN, if it is one of those.
    pub(super) fn stream(&mut self, arn: &str) -> Option<&mut Searched> {
        self.streams.iter_mut().find(|stream| stream.arn.to_string() == arn)
    }

    /// A role that a resource names with a stream.
    pub(super) fn configured(&mut self, stream: &str, role: Option<&str>, side: Side, how: &str) {
        if let Some(stream) = self.stream(stream) {
            stream.configured(role, side, how);
        }
    }

    /// A call for all streams that failed.
    pub(super) fn failed(&mut self, what: &str, failure: &Failure) {
        self.not_checked.push(not_checked(what, failure));
    }

    /// Reads the pages of a list, and says where that is longer than what is read of it.
    pub(super) async fn pages(
        &mut self,
        what: &str,
        mut page: impl AsyncFnMut(&mut Self, Option<String>) -> Result<Option<String>, Failure>,
    ) -> Result<(), Failure> {
        if !pages(async |token| page(self, token).await).await? {
            self.not_checked.push(too_long(what, PAGES_MAX));
        }
        Ok(())
    }

    /// The same of a list of which so many pages are read.
    pub(super) fn cut_at(&mut self, what: &str, pages: usize) {
        self.not_checked.push(too_long(what, pages));
    }
}

impl Searched {
    pub(super) fn configured(&mut self, role: Option<&str>, side: Side, how: &str) {
        let who = match role.map(|role| (role, Principal::parse(role))) {
            Some((_, Some(principal))) => Who::Principal(principal),
            Some((role, None)) => Who::Unnamed(EventText::new(role)),
            None => Who::Unnamed(EventText::new(how)),
        };
        self.findings.push(Finding::new(who, side, Tier::Configured, how));
    }

    pub(super) fn failed(&mut self, what: &str, failure: &Failure) {
        self.not_checked.push(not_checked(what, failure));
    }

    pub(super) fn cut(&mut self, what: &str) {
        self.not_checked.push(too_long(what, PAGES_MAX));
    }
}

fn not_checked(what: &str, failure: &Failure) -> NotChecked {
    let why = format!("{} failed ({}): {}", failure.call, failure.code, failure.message);
    NotChecked { what: what.to_owned(), why }
}

fn too_long(what: &str, pages: usize) -> NotChecked {
    NotChecked { what: what.to_owned(), why: format!("only the first {pages} pages were read") }
}

/// Reads the pages of a list: `page` reads one and gives the token of the next. Whether it was read to its end.
pub(super) async fn pages(
    page: impl AsyncFnMut(Option<String>) -> Result<Option<String>, Failure>,
) -> Result<bool, Failure> {
    at_most(PAGES_MAX, page).await
}

/// Waits for a turn.
pub(super) async fn turn(pace: &mut Pace, context: &Context) {
    let wait = pace.take(context.aws.elapsed(), LONG).unwrap_or(LONG);
    if !wait.is_zero() {
        context.aws.sleep(wait).await;
    }
}
