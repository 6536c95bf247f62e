//! What a command works with: the connection to AWS, whose streams they are, the policy. Found as the AWS CLI finds it, and
//! where something cannot be found, said how to give it.

use std::path::Path;

use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};

use super::arguments::{Globals, ModeArgument};
use super::output::Stop;
use crate::aws::{Aws, Connection, Queues, logged, profiles, sdk_config};
use crate::config::{self, Config, ModeSource, Source};
use crate::domain::arn::{Scope, StreamArn, StreamName};
use crate::domain::cause::Cause;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::model::Mode;
use crate::domain::policy::Policy;
use crate::domain::text::EventText;
use crate::domain::work::Work;
use crate::ports::{CallLog, Clock, FleetApi, PageStart, ParameterApi};
use crate::run::history::History;
use crate::run::paces::Paces;
use crate::run::session::Session;

/// How long one run may take, and wait for its stream: longer than a function, since somebody watches.
pub(crate) const RUN_MAX: SignedDuration = SignedDuration::from_mins(10);

/// The same for a look.
pub(crate) const LOOK_MAX: SignedDuration = SignedDuration::from_secs(60);

/// The connection, and whose streams they are.
pub(crate) struct Context {
    /// The configuration of every client.
    pub(crate) sdk: SdkConfig,
    /// The world as the loop sees it.
    pub(crate) aws: Aws,
    /// As the function's.
    pub(crate) config: Config,
    paces: Paces,
    history: History,
}

impl Context {
    /// Finds Region and account. `named` are the streams on the command line: their ARNs say both.
    pub(crate) async fn open(globals: &Globals, mode: Option<ModeArgument>, named: &[String]) -> Result<Self, Stop> {
        Self::with_policy(globals, mode, named, policy_source(globals)).await
    }

    /// The same, for a policy that is known to be somewhere else, or that is not needed.
    pub(crate) async fn with_policy(
        globals: &Globals,
        mode: Option<ModeArgument>,
        named: &[String],
        policy: Option<String>,
    ) -> Result<Self, Stop> {
        known_profile(globals).await?;
        let arns: Vec<StreamArn> = named.iter().filter_map(|stream| StreamArn::parse(stream)).collect();
        let said = arns.first().map(|arn| arn.scope.clone());
        let region = match globals.region.as_slice() {
            [] => said.as_ref().map(|scope| scope.region.clone()),
            [one] => Some(one.clone()),
            _ => return Err(Stop::usage("this command works in one Region; `--region` is there more than once")),
        };
        let connection = Connection {
            region,
            profile: globals.profile.clone(),
            endpoint: globals.endpoint_url.clone(),
            ..Connection::default()
        };
        let sdk = sdk_config(&connection).await;
        let Some(region) = sdk.region().map(|region| region.as_ref().to_owned()) else {
            let stop = Stop::usage("the Region of the streams is not known");
            return Err(stop.help("give it with `--region`, with AWS_REGION, or as `region` of the profile"));
        };
        let given = globals.account.clone().or_else(|| variable("ACCOUNT_ID")).or(said.map(|scope| scope.account));
        let account = match given {
            Some(account) => account,
            None => caller(&sdk).await?,
        };
        let mode = mode.map(|mode| match mode {
            ModeArgument::Report => "report".to_owned(),
            ModeArgument::Enforce => "enforce".to_owned(),
        });
        let config = Config::from_vars(|name| match name {
            "ACCOUNT_ID" => Some(account.clone()),
            "AWS_REGION" => Some(region.clone()),
            "POLICY" => policy.clone(),
            "MODE" => mode.clone().or_else(|| variable(name)),
            // One process, which shares its rates with no other.
            "MAX_CONCURRENCY" => Some("1".to_owned()),
            "WAIT_SECONDS" => Some(RUN_MAX.as_secs().to_string()),
            "PARTITION" | "OWN_ROLE_ARN" | "DESCRIBES_PER_SECOND" | "SCAN_DESCRIBES_PER_SECOND" => variable(name),
            // The rest is the function's own.
            _ => None,
        });
        let config = config.map_err(|faults| {
            let mut faults = faults.iter().map(|fault| match fault.variable {
                "POLICY" if policy.is_none() => "no policy is named: give it with `--policy FILE` or POLICY".to_owned(),
                "ACCOUNT_ID" => format!("--account or ACCOUNT_ID: {}", fault.message),
                "AWS_REGION" => format!("--region or AWS_REGION: {}", fault.message),
                _ => fault.to_string(),
            });
            Stop::usage(faults.next().unwrap_or_default()).and(faults)
        })?;
        if let Some(other) = arns.iter().find(|arn| arn.scope != config.own) {
            let Scope { account, region, .. } = &config.own;
            let stop = Stop::usage(format!("{other} is not a stream of the account {account} in {region}"));
            return Err(stop.help("name streams of one account and Region at a time"));
        }
        let (paces, history) = (Paces::new(&config), History::default());
        let aws = Aws::new(&sdk, config.own.clone(), Queues::default());
        Ok(Self { sdk, aws, config, paces, history })
    }

    /// The policy that is in force, or its faults.
    pub(crate) async fn policy(&self) -> Result<Policy, Stop> {
        policy(&self.aws, &self.config).await
    }

    /// The mode that is in force.
    pub(crate) async fn mode(&self) -> Result<Mode, Stop> {
        match &self.config.mode {
            ModeSource::Fixed(mode) => Ok(*mode),
            ModeSource::Read(source) => config::mode(&self.read(source).await?)
                .ok_or_else(|| Stop::failure(format!("the mode in {source} is neither `report` nor `enforce`"))),
        }
    }

    /// A text that may be in a parameter.
    pub(crate) async fn read(&self, source: &Source) -> Result<String, Stop> {
        read(&self.aws, &self.config.own, source).await
    }

    /// A stream of ours by its name or ARN.
    pub(crate) fn stream(&self, text: &str) -> Result<StreamArn, Stop> {
        let own = &self.config.own;
        let found = match StreamArn::parse(text) {
            Some(arn) => Some(arn),
            None => StreamName::parse(text).map(|name| own.stream(name)),
        };
        found.ok_or_else(|| {
            let stop = Stop::usage(format!("`{}` is neither the name of a stream nor its ARN", EventText::new(text)));
            stop.help("names have up to 128 letters, digits, `_`, `.` and `-`")
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
        is_account_of(&self.sdk, &own.account).await?;
        let mut streams = Vec::new();
        let mut from = Some(PageStart::Beginning);
        while let Some(at) = from {
            let page = self.aws.list(&at, &CallLog::default()).await;
            let page = page.map_err(|failure| Stop::call("the list of streams", &failure, Some(own), &[]))?;
            streams.extend(page.names.into_iter().map(|name| own.stream(name)));
            from = page.next;
        }
        Ok(streams)
    }

    /// Waits for its turn to look at one more stream, at the rate of scans.
    pub(crate) async fn turn(&self) -> Result<(), Stop> {
        let (call, deadline) = ("kinesis:DescribeStreamSummary", self.aws.now() + RUN_MAX);
        let turn = Paces::wait(&self.paces.scans, &self.aws, deadline, call).await;
        turn.map(|_| ()).map_err(|why| Stop::unfinished("looking at streams", &why, None))
    }

    /// What a run that begins now goes by.
    pub(crate) fn settings<'a>(&'a self, policy: &'a Policy, mode: Mode, time: SignedDuration) -> Session<'a> {
        Session {
            config: &self.config,
            policy,
            mode,
            run_id: "streamseal",
            deadline: self.aws.now() + time,
            paces: &self.paces,
            history: &self.history,
            has_queue: false,
            planned: None,
        }
    }

    /// Work for a stream, because somebody asked for it here.
    pub(crate) fn work(&self, stream: StreamArn, command: &str) -> Work {
        let call = EventText::new(command);
        let cause = Cause { call, event_id: None, actor: None, at: None, creator: None };
        Work::new(stream, cause, self.aws.now())
    }
}

fn parameter_arn(own: &Scope, name: &str) -> String {
    let Scope { partition, region, account } = own;
    format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
}

/// A text that may be in a parameter of this account and Region.
pub(crate) async fn read(aws: &Aws, own: &Scope, source: &Source) -> Result<String, Stop> {
    let resource = match source {
        Source::File(path) => return read_file(path),
        Source::Parameter(name) => Some(parameter_arn(own, name)),
        Source::Inline(_) => None,
    };
    let resources: Vec<&str> = resource.as_deref().into_iter().collect();
    let read = aws.read(source).await;
    read.map_err(|failure| Stop::call(&source.to_string(), &failure, Some(own), &resources))
}

/// The policy's text.
pub(crate) async fn policy_text(aws: &Aws, config: &Config) -> Result<String, Stop> {
    let (source, own) = (&config.policy, &config.own);
    match source {
        Source::Parameter(name) => aws.read(source).await.map_err(|failure| {
            let resource = parameter_arn(own, name);
            let stop = Stop::call(&source.to_string(), &failure, Some(own), &[&resource]);
            match failure.class {
                Class::Permanent(Fault::Request) => stop.help(format!(
                    "if there is no such parameter: aws ssm put-parameter --name {name} --type String --value file://policy.yaml \
                     --region {}",
                    own.region
                )),
                _ => stop,
            }
        }),
        Source::File(_) | Source::Inline(_) => read(aws, own, source).await,
    }
}

/// The policy that is in force, or its faults.
pub(crate) async fn policy(aws: &Aws, config: &Config) -> Result<Policy, Stop> {
    let source = &config.policy;
    let text = policy_text(aws, config).await?;
    Policy::load(&text).map_err(|faults| {
        let stop = Stop::failure(format!("the policy in {source} is not valid"));
        let faults = faults.iter().map(|fault| format!("{source}:{fault}"));
        stop.and(faults).help("`streamseal check` shows them in the source")
    })
}

/// A variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `--policy` or `POLICY` says that the policy is, as the function writes it.
pub(crate) fn policy_source(globals: &Globals) -> Option<String> {
    let given = globals.policy.clone().map(|text| {
        let is_source = ["ssm:", "file:", "inline:"].iter().any(|kind| text.starts_with(kind));
        if is_source { text } else { format!("file:{text}") }
    });
    given.or_else(|| variable("POLICY"))
}

/// The text of a file.
pub(crate) fn read_file(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path).map_err(|error| Stop::failure(format!("{}: cannot be read: {error}", path.display())))
}

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Whose the credentials are.
pub(crate) async fn identity(sdk: &SdkConfig) -> Result<GetCallerIdentityOutput, Failure> {
    let client = aws_sdk_sts::Client::new(sdk);
    logged(&CallLog::default(), "sts:GetCallerIdentity", client.get_caller_identity().send()).await
}

/// The account that the credentials are of: GetCallerIdentity, which needs no permission.
pub(crate) async fn caller(sdk: &SdkConfig) -> Result<String, Stop> {
    let asked = identity(sdk).await;
    let how = "or name the account of the streams with `--account` or ACCOUNT_ID";
    match asked {
        Ok(answer) => answer.account.ok_or_else(|| Stop::failure("sts:GetCallerIdentity named no account").help(how)),
        Err(failure) => Err(Stop::call("which account this is cannot be told", &failure, None, &[]).help(how)),
    }
}

/// Refuses credentials of another account than `account`: lists are of the account of the credentials, and of no other. Whether
/// they are of it is known; `false` where STS cannot be asked, which the account may have been named for.
pub(crate) async fn is_account_of(sdk: &SdkConfig, account: &str) -> Result<bool, Stop> {
    match identity(sdk).await.ok().and_then(|answer| answer.account) {
        Some(is) if is != account => {
            let stop = Stop::usage(format!("the credentials are of the account {is}, not of {account}"));
            Err(stop.help("name that account's profile with `--profile`, or leave `--account` and ACCOUNT_ID out"))
        }
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

/// Refuses a profile that is nowhere: the SDK would go on without it.
pub(crate) async fn known_profile(globals: &Globals) -> Result<(), Stop> {
    let named = globals.profile.clone().or_else(|| variable("AWS_PROFILE"));
    let Some(named) = named.filter(|name| name != "default") else { return Ok(()) };
    let known = profiles().await.map_err(|why| Stop::failure(format!("the profiles cannot be read: {why}")))?;
    if known.contains(&named) {
        return Ok(());
    }
    let stop = Stop::usage(format!("there is no profile `{}`", EventText::new(&named)));
    Err(stop.help(match known.as_slice() {
        [] => "the files of the AWS CLI name none: `aws configure` makes one".to_owned(),
        known => format!("there are {}", known.join(", ")),
    }))
}
