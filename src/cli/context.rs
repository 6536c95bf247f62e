//! What a command works with, in any number of Regions: the connection to AWS, whose streams they are, the policy. Found as the
//! AWS CLI finds it, and where something cannot be found, said how to give it.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::Region;
use aws_types::SdkConfig;
use jiff::SignedDuration;

use super::arguments::{Globals, repeated, shell_word};
use super::caller::{Caller, by, caller, is_account_of, soon};
use super::connect::{Connection, client, sdk_config};
use super::output::Stop;
use super::regions::exists;
pub(crate) use super::settings::variable;
use super::settings::{Settings, endpoint_of, source_of_region};
use crate::aws::{Aws, Queues};
use crate::config::{self, Config, ModeSource, Source};
use crate::domain::arn::{Scope, StreamArn, StreamName};
use crate::domain::cause::Cause;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::model::{Mode, Observed, Tags};
use crate::domain::policy::Policy;
use crate::domain::scan::subject::Group;
use crate::domain::text::EventText;
use crate::domain::work::Work;
use crate::ports::{CallLog, Clock, FleetApi, PageStart, ParameterApi, StreamApi};
use crate::run::history::History;
use crate::run::paces::Paces;
use crate::run::session::Session;

/// How long one run may take, and wait for its stream: longer than a function, since somebody watches.
pub(crate) const RUN_MAX: SignedDuration = SignedDuration::from_mins(10);

/// The same for an observation.
pub(crate) const OBSERVATION_MAX: SignedDuration = SignedDuration::from_secs(60);

/// The connection, and whose streams they are: those of one Region. A command that works in several has one for each.
pub(crate) struct Context {
    /// The configuration of every client.
    pub(crate) sdk: SdkConfig,
    /// The world as the loop sees it.
    pub(crate) aws: Aws,
    /// As the function's.
    pub(crate) config: Config,
    /// Of all runs of this command, in evidence.
    pub(crate) run_id: String,
    paces: Paces,
    history: History,
    /// Whether the credentials are known to be of the account, once that was asked.
    is_own: OnceLock<bool>,
    /// The options that say which streams and which policy, for the next command.
    pub(crate) given: String,
}

impl Context {
    /// Finds Region and account. `named` are the streams on the command line: their ARNs say both.
    pub(crate) async fn open(globals: &Globals, mode: Option<&str>, named: &[String]) -> Result<Self, Stop> {
        Self::with_policy(globals, mode, named, policy_source(globals)).await
    }

    /// The same, for a policy that is known to be somewhere else, or that is not needed.
    pub(crate) async fn with_policy(
        globals: &Globals,
        mode: Option<&str>,
        named: &[String],
        policy: Option<String>,
    ) -> Result<Self, Stop> {
        let arns: Vec<StreamArn> = named.iter().filter_map(|stream| StreamArn::parse(stream)).collect();
        let said = arns.first().map(|arn| arn.scope.clone());
        let region = match globals.region.as_slice() {
            [] => said.as_ref().map(|scope| scope.region.clone()),
            [one] => Some(one.clone()),
            _ => return Err(Stop::usage("`--region` is given more than once; this command works in one Region")),
        };
        let sdk = sdk_of(globals, region).await?;
        let Some(region) = sdk.region().map(|region| region.as_ref().to_owned()) else {
            let stop = Stop::usage("no Region is set");
            return Err(stop.help("set it with `--region`, AWS_REGION or `region` in the profile"));
        };
        let given = Given { globals, mode, policy, rate: None };
        let account = given_account(globals).or(said.map(|scope| scope.account));
        // What is wrong with the arguments comes before any call.
        given.config(&region, account.as_deref())?;
        exists(&region, &sdk, &source_of_region(globals))?;
        let (account, is_own, actor) = match account {
            Some(account) => {
                // Who calls stands in documents. Where STS does not answer the account was named for that.
                let (is, actor) = soon(&sdk).await;
                let is_own = if is.as_ref() == Some(&account) { OnceLock::from(true) } else { OnceLock::new() };
                (account, is_own, actor)
            }
            None => {
                let Caller { account, arn } = caller(&sdk).await?;
                (account, OnceLock::from(true), arn)
            }
        };
        let config = Config { runner: by(actor), ..given.config(&region, Some(&account))? };
        if let Some(other) = arns.iter().find(|arn| arn.scope != config.own) {
            let Scope { account, region, .. } = &config.own;
            let stop = Stop::usage(format!("{other} is not in account {account} and Region {region}"));
            return Err(stop.help("give only streams of one account and Region"));
        }
        Ok(Self {
            is_own,
            given: repeated(&as_said(globals, &config.own, !arns.is_empty())),
            ..Self::new(sdk, config, new_id())
        })
    }

    /// One for each of these Regions, in their order, which an account may be without where it says `true`; observations are taken at
    /// `rate`. And whether the account is known to be the one that the credentials are of.
    pub(crate) async fn of_regions(
        globals: &Globals,
        policy: String,
        mode: Option<&str>,
        rate: u32,
        regions: &[(String, bool)],
    ) -> Result<(Vec<Self>, bool), Stop> {
        let (given, account) =
            (Given { globals, mode, policy: Some(policy), rate: Some(rate) }, given_account(globals));
        // What is wrong with the arguments comes before any call.
        for (region, _) in regions {
            given.config(region, account.as_deref())?;
        }
        // A Region that the account may not have takes no credentials of it.
        let asked = regions.iter().find(|(_, opt_in)| !opt_in).or_else(|| regions.first());
        let asked = sdk_of(globals, asked.map(|(region, _)| region.clone())).await?;
        regions.iter().try_for_each(|(region, _)| exists(region, &asked, &source_of_region(globals)))?;
        let (account, is_known, actor) = match account {
            Some(account) => {
                let found = is_account_of(&asked, &account).await?;
                (account, found.is_some(), found.and_then(|caller| caller.arn))
            }
            None => {
                let Caller { account, arn } = caller(&asked).await?;
                (account, true, arn)
            }
        };
        let (mut contexts, run_id) = (Vec::new(), new_id());
        for (region, _) in regions {
            // With the same connections, and credentials that were fetched once.
            let sdk = asked.to_builder().region(Region::new(region.clone())).build();
            let config = Config { runner: by(actor.clone()), ..given.config(region, Some(&account))? };
            contexts.push(Self::new(sdk, config, run_id.clone()));
        }
        Ok((contexts, is_known))
    }

    /// One for each of these Regions in another account, whose credentials `sdk` has; with this one's settings, policy and run. `actor` calls.
    pub(crate) fn in_account(
        &self,
        sdk: &SdkConfig,
        (account, actor): (&str, Option<String>),
        regions: &[(String, bool)],
    ) -> Vec<Self> {
        let of = |(region, _): &(String, bool)| {
            let sdk = sdk.to_builder().region(Region::new(region.clone())).build();
            let own = Scope { account: account.to_owned(), region: region.clone(), ..self.config.own.clone() };
            let config = Config { own, runner: by(actor.clone()), ..self.config.clone() };
            Self::new(sdk, config, self.run_id.clone())
        };
        regions.iter().map(of).collect()
    }

    fn new(sdk: SdkConfig, config: Config, run_id: String) -> Self {
        let (paces, history) = (Paces::new(&config), History::default());
        let aws = Aws::new(&sdk, config.own.clone(), Queues::default());
        Self { sdk, aws, config, run_id, paces, history, is_own: OnceLock::new(), given: String::new() }
    }

    /// The policy that is in force, or its faults.
    pub(crate) async fn policy(&self) -> Result<Policy, Stop> {
        let text = self.policy_text().await?;
        loaded(&self.config.policy.to_string(), &text)
    }

    /// The policy's text.
    pub(crate) async fn policy_text(&self) -> Result<String, Stop> {
        let (source, own) = (&self.config.policy, &self.config.own);
        match source {
            Source::Parameter(name) => self.aws.read(source).await.map_err(|failure| {
                let resource = parameter_arn(own, name);
                let stop = Stop::call(&source.to_string(), &failure, Some(own), &[&resource]);
                match failure.class {
                    Class::Permanent(Fault::Request) => stop.help(format!(
                        "if there is no such parameter: aws ssm put-parameter --name {} --type String --value file://policy.yaml --region {}",
                        shell_word(name),
                        own.region
                    )),
                    _ => stop,
                }
            }),
            Source::File(_) | Source::Inline(_) => self.read(source).await,
        }
    }

    /// The mode that is in force.
    pub(crate) async fn mode(&self) -> Result<Mode, Stop> {
        match &self.config.mode {
            ModeSource::Fixed(mode) => Ok(*mode),
            ModeSource::Read(source) => config::mode(&self.read(source).await?)
                .ok_or_else(|| Stop::failure(format!("{source}: the mode must be `report` or `enforce`"))),
        }
    }

    /// A text that may be in a parameter of this account and Region.
    pub(crate) async fn read(&self, source: &Source) -> Result<String, Stop> {
        let own = &self.config.own;
        let resource = match source {
            Source::File(path) => return read_file(path),
            Source::Parameter(name) => Some(parameter_arn(own, name)),
            Source::Inline(_) => None,
        };
        let resources: Vec<&str> = resource.as_deref().into_iter().collect();
        let read = self.aws.read(source).await;
        read.map_err(|failure| Stop::call(&source.to_string(), &failure, Some(own), &resources))
    }

    /// A stream of ours by its name or ARN.
    pub(crate) fn stream(&self, text: &str) -> Result<StreamArn, Stop> {
        let own = &self.config.own;
        let found = match StreamArn::parse(text) {
            Some(arn) => Some(arn),
            None => StreamName::parse(text).map(|name| own.stream(name)),
        };
        found.ok_or_else(|| {
            let stop = Stop::usage(format!("`{}` is not a stream name or stream ARN", EventText::new(text)));
            stop.help("a stream name has 1 to 128 letters, digits, `_`, `.` and `-`")
        })
    }

    /// Streams by their names or ARNs, each once however often it is named.
    pub(crate) fn streams(&self, named: &[String]) -> Result<Vec<StreamArn>, Stop> {
        let mut streams: Vec<StreamArn> = Vec::new();
        for text in named {
            let stream = self.stream(text)?;
            if !streams.contains(&stream) {
                streams.push(stream);
            }
        }
        Ok(streams)
    }

    /// The names of all streams of the account and Region. The list is of the account that the credentials are of, whatever
    /// account was named.
    pub(crate) async fn all_streams(&self) -> Result<Vec<StreamArn>, Stop> {
        let own = &self.config.own;
        self.is_of_credentials().await?;
        let mut streams = Vec::new();
        let mut from = Some(PageStart::Beginning);
        while let Some(at) = from {
            let page = self.aws.list(&at, &CallLog::default()).await;
            let page = page.map_err(|failure| Stop::call("listing the streams", &failure, Some(own), &[]))?;
            streams.extend(page.names.into_iter().map(|name| own.stream(name)));
            from = page.next;
        }
        Ok(streams)
    }

    /// Refuses credentials of another account than the streams': what is listed is of the account of the credentials. Whether they
    /// are known to be of it. STS is asked once.
    pub(crate) async fn is_of_credentials(&self) -> Result<bool, Stop> {
        if let Some(known) = self.is_own.get() {
            return Ok(*known);
        }
        let is_own = is_account_of(&self.sdk, &self.config.own.account).await?.is_some();
        Ok(*self.is_own.get_or_init(|| is_own))
    }

    /// The tags of a stream, where the policy reads tags. `gone` says what there is to say of a stream that is not there.
    pub(crate) async fn tags(
        &self,
        policy: &Policy,
        stream: &StreamArn,
        gone: fn(&StreamArn) -> Stop,
    ) -> Result<Tags, Stop> {
        if !policy.reads().tags {
            return Ok(Tags::new());
        }
        let answer = self.aws.tags(stream, &CallLog::default()).await;
        answer.map_err(|failure| self.unobserved(stream, "the stream's tags", &failure, gone))
    }

    /// The setting of a stream, which is called `what`.
    pub(crate) async fn describe(
        &self,
        stream: &StreamArn,
        what: &str,
        gone: fn(&StreamArn) -> Stop,
    ) -> Result<Observed, Stop> {
        let answer = self.aws.describe(stream, &CallLog::default()).await;
        answer.map_err(|failure| self.unobserved(stream, what, &failure, gone))
    }

    fn unobserved(&self, stream: &StreamArn, what: &str, failure: &Failure, gone: fn(&StreamArn) -> Stop) -> Stop {
        match failure.class {
            Class::Ignored => gone(stream),
            _ => Stop::call(what, failure, Some(&self.config.own), &[&stream.to_string()]),
        }
    }

    /// Waits for its turn to observe one more stream, at the rate of scans.
    pub(crate) async fn turn(&self) -> Result<(), Stop> {
        let (call, deadline) = ("kinesis:DescribeStreamSummary", self.aws.now() + RUN_MAX);
        let turn = Paces::wait(self.paces.of_scans(Group::Policy), &self.aws, deadline, call).await;
        turn.map(|_| ()).map_err(|why| Stop::unfinished("observing the streams", &why, None))
    }

    /// What a run that begins now goes by.
    pub(crate) fn session<'a>(&'a self, policy: &'a Policy, mode: Mode, time: SignedDuration) -> Session<'a> {
        Session {
            config: &self.config,
            policy,
            mode,
            run_id: &self.run_id,
            deadline: self.aws.now() + time,
            paces: &self.paces,
            history: &self.history,
            has_queue: false,
            planned: None,
            guards: false,
        }
    }

    /// Work for a stream, because somebody asked for it here.
    pub(crate) fn work(&self, stream: StreamArn, command: &str) -> Work {
        let call = EventText::new(command);
        let cause = Cause { call, event_id: None, actor: None, at: None, creator: None };
        Work::new(stream, cause, self.aws.now())
    }
}

/// The options as the next command needs them, which may name streams without their ARNs.
fn as_said(globals: &Globals, own: &Scope, by_arn: bool) -> Globals {
    let mut said = globals.clone();
    if by_arn {
        (said.region, said.account) = (vec![own.region.clone()], Some(own.account.clone()));
    }
    said
}

/// The policy in this text, or its faults. `source` is where it is.
pub(crate) fn loaded(source: &str, text: &str) -> Result<Policy, Stop> {
    Policy::load(text).map_err(|faults| {
        let stop = Stop::failure(format!("the policy in {source} is not valid"));
        let faults = faults.iter().map(|fault| format!("{source}:{fault}"));
        stop.and(faults).help("`streamseal check` shows the errors with their lines")
    })
}

/// An id that no other command has, in the form that an invocation's id has: a UUID of version 4.
pub(crate) fn new_id() -> String {
    let (high, low) = (fastrand::u64(..), fastrand::u64(..));
    let (variant, node) = (0x8000 | ((low >> 48) & 0x3fff), low & 0xffff_ffff_ffff);
    format!("{:08x}-{:04x}-4{:03x}-{variant:04x}-{node:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff)
}

/// The ARN of a parameter of this account and Region.
pub(crate) fn parameter_arn(own: &Scope, name: &str) -> String {
    let Scope { partition, region, account } = own;
    format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
}

/// What is said of the function's configuration on the command line.
struct Given<'a> {
    globals: &'a Globals,
    mode: Option<&'a str>,
    policy: Option<String>,
    /// So many observations a second, where the command has an option for it. Such a one starts and waits for nothing, and of what
    /// variables say of that nothing concerns it.
    rate: Option<u32>,
}

impl Given<'_> {
    /// As the function reads it, with the arguments in place of variables. The account may not be known yet.
    fn config(&self, region: &str, account: Option<&str>) -> Result<Config, Stop> {
        let config = Config::from_vars(|name| match (name, self.rate) {
            ("ACCOUNT_ID", _) => Some(account.unwrap_or("000000000000").to_owned()),
            ("OWN_ROLE_ARN", _) if account.is_none() => None,
            ("AWS_REGION", _) => Some(region.to_owned()),
            ("POLICY", _) => self.policy.clone(),
            ("MODE", _) => self.mode.map(str::to_owned).or_else(|| variable(name)),
            // One process, which shares its rates with no other.
            ("MAX_CONCURRENCY", _) => Some("1".to_owned()),
            ("DESCRIBES_PER_SECOND" | "SCAN_DESCRIBES_PER_SECOND", Some(rate)) => Some(rate.to_string()),
            ("WAIT_SECONDS", None) => Some(RUN_MAX.as_secs().to_string()),
            ("PARTITION" | "OWN_ROLE_ARN" | "DESCRIBES_PER_SECOND" | "SCAN_DESCRIBES_PER_SECOND", None) => {
                variable(name)
            }
            // The rest is the function's own.
            _ => None,
        });
        config.map_err(|faults| {
            let mut faults = faults.iter().map(|fault| match (self.origin(fault.variable), &fault.message) {
                (Some(_), _) if fault.variable == "POLICY" && self.policy.is_none() => NO_POLICY.to_owned(),
                (Some(origin), message) => format!("{origin}: {message}"),
                (None, _) => fault.to_string(),
            });
            Stop::usage(faults.next().unwrap_or_default()).and(faults)
        })
    }

    /// Where what the function reads from a variable was given here, if it may have been given elsewhere.
    fn origin(&self, variable: &str) -> Option<String> {
        let flag_or = |is_given: bool, flag: &str| if is_given { flag.to_owned() } else { variable.to_owned() };
        match variable {
            "ACCOUNT_ID" => Some(source_of_account(self.globals).to_owned()),
            "AWS_REGION" => Some(source_of_region(self.globals)),
            "POLICY" => Some(flag_or(self.globals.policy.is_some(), "--policy")),
            "MODE" => Some(flag_or(self.mode.is_some(), "--mode")),
            "DESCRIBES_PER_SECOND" | "SCAN_DESCRIBES_PER_SECOND" if self.rate.is_some() => Some("--rate".to_owned()),
            _ => None,
        }
    }
}

const NO_POLICY: &str = "no policy is set: use `--policy FILE` or POLICY, or create ./streamseal.yaml";

/// The configuration of every client; of the environment's Region where none is named.
pub(crate) async fn sdk_of(globals: &Globals, region: Option<String>) -> Result<SdkConfig, Stop> {
    let settings = Settings::load(globals.profile.as_deref()).await?;
    let (profile, endpoint) = (globals.profile.clone(), endpoint_of(globals.endpoint_url.as_deref())?);
    let client = Some(client(settings.of_profile("ca_bundle")).map_err(Stop::usage)?);
    let retries = Some(settings.retries()?);
    let connection = Connection { region, profile, endpoint, retries, client, ..Connection::default() };
    let sdk = sdk_config(&connection).await;
    if connection.endpoint.is_none() {
        settings.endpoints(&sdk)?;
    }
    Ok(sdk)
}

/// The account that the arguments or the environment name.
pub(crate) fn given_account(globals: &Globals) -> Option<String> {
    globals.account.clone().or_else(|| variable("ACCOUNT_ID"))
}

/// Where the account was given.
pub(crate) fn source_of_account(globals: &Globals) -> &'static str {
    if globals.account.is_some() { "--account" } else { "ACCOUNT_ID" }
}

/// The Region that they name, for commands that ask no profile.
pub(crate) fn given_region(globals: &Globals) -> Option<String> {
    let named = globals.region.first().cloned();
    named.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// The policy's file where nobody names one.
pub(crate) const POLICY_FILE: &str = "streamseal.yaml";

/// Where the policy is, as the function writes it: as `--policy` or POLICY says it, or in this folder.
pub(crate) fn policy_source(globals: &Globals) -> Option<String> {
    named_policy(globals).or_else(|| Path::new(POLICY_FILE).exists().then(|| as_source(POLICY_FILE)))
}

/// The same, where somebody says so.
pub(crate) fn named_policy(globals: &Globals) -> Option<String> {
    globals.policy.clone().or_else(|| variable("POLICY")).as_deref().map(as_source)
}

/// A policy as it is named on the command line, where a file needs no `file:`.
pub(crate) fn as_source(text: &str) -> String {
    let is_source = ["ssm:", "file:", "inline:"].iter().any(|kind| text.starts_with(kind));
    if is_source { text.to_owned() } else { format!("file:{text}") }
}

/// The text of a file; of standard input for `-`.
pub(crate) fn read_file(path: &Path) -> Result<String, Stop> {
    static IS_READ: AtomicBool = AtomicBool::new(false);
    if path != Path::new("-") {
        let text = std::fs::read_to_string(path);
        return text.map_err(|error| Stop::failure(format!("{}: cannot be read: {error}", path.display())));
    }
    if IS_READ.swap(true, Ordering::Relaxed) {
        return Err(Stop::usage("`-` (standard input) can be used for only one file"));
    }
    std::io::read_to_string(std::io::stdin())
        .map_err(|error| Stop::failure(format!("standard input cannot be read: {error}")))
}
