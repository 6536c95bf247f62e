//! What a failed AWS call means: the only file that names AWS error codes.
//!
//! It maps codes to [`Class`]. What follows from a class is not decided here. A code that is not in the table is retryable: the work's
//! deadline bounds the retries, while taking a passing fault for a lasting one would give a stream up.

use super::failure::{Class, Failure, Fault};
use super::text::EventText;

/// The call with a quota of its own behind `LimitExceededException`.
pub const START_STREAM_ENCRYPTION: &str = "kinesis:StartStreamEncryption";

/// The call whose resource is a bus.
pub const PUT_EVENTS: &str = "events:PutEvents";

/// How GetMetricData says that a metric may not be read (CloudWatch API reference, MetricDataResult).
pub const METRICS_FORBIDDEN: &str = "Forbidden";

/// How the message of a `LimitExceededException` starts that is about the rate of calls for the whole account (recorded answer of Kinesis).
const RATE_OF_ACCOUNT: &str = "Rate exceeded for account";
/// How one starts that is about a rate or about a quota of 24 hours, in the same words (recorded: "Rate exceeded for stream NAME under
/// account N." for the third UpdateStreamMode in 24 hours; ListShards has it for its rate).
const RATE_OR_QUOTA: &str = "Rate exceeded";

/// How the message of an `UnrecognizedClientException` starts that is about an ARN whose account does not exist, and not about
/// credentials (recorded answer of Kinesis: `No account found for the given parameters`).
const NO_SUCH_ACCOUNT: &str = "No account found";

/// No code on the wire: the call took longer than its timeout.
pub const TIMEOUT: &str = "Timeout";
/// No code on the wire: there was no answer at all.
pub const NO_ANSWER: &str = "NoAnswer";
/// No code on the wire: there were no credentials to sign the request with.
pub const NO_CREDENTIALS: &str = "NoCredentials";
/// No code on the wire: there is no such host.
pub const NO_HOST: &str = "NoHost";
/// No code on the wire: the certificate of whoever answered is not trusted, and nothing was sent.
pub const UNTRUSTED: &str = "Untrusted";
/// No code on the wire: the SDK could not make a request of it.
pub const NOT_SENT: &str = "NotSent";
/// No code on the wire: whoever answered is not AWS.
pub const NOT_AWS: &str = "NotAws";
/// No code on the wire: there was an answer that cannot be read.
pub const UNREADABLE: &str = "Unreadable";

/// The table. Codes as the services spell them: API references of Kinesis (StartStreamEncryption, PutRecord, GetRecords,
/// ListShards, ListStreams, Common Errors), KMS (DescribeKey), tagging (GetResources), CloudTrail (LookupEvents), SSM
/// (GetParameter), SQS (SendMessage), EventBridge (PutEvents, PutEventsResultEntry), CloudWatch (GetMetricData), Config
/// (SelectAggregateResourceConfig), Organizations (ListAccounts) and STS (AssumeRole).
pub fn class_of(call: &str, code: &str, message: &str) -> Class {
    match code {
        // The bus does not exist.
        "ResourceNotFoundException" if call == PUT_EVENTS => Class::Permanent(Fault::Request),
        // Nothing else but Kinesis answers with this here, and every request to Kinesis names a stream, but for ListStreams, which
        // does not have it.
        "ResourceNotFoundException" => Class::Ignored,
        "ResourceInUseException" => Class::Waiting,

        // Two meanings: too many calls a second, or a limit such as 25 new keys in 24 hours, which only Start has. Text that is not
        // known is taken for the quota, since the next Start may be one too many.
        "LimitExceededException" if call == START_STREAM_ENCRYPTION && !message.starts_with(RATE_OF_ACCOUNT) => {
            if message.starts_with(RATE_OR_QUOTA) { Class::RateOrQuota } else { Class::Quota }
        }
        "LimitExceededException" => Class::Retryable,

        "UnrecognizedClientException" if message.starts_with(NO_SUCH_ACCOUNT) => Class::Permanent(Fault::Request),
        // The answer to a request with `DryRun`: allowed, and nothing written. It says nothing else when asked again.
        "DryRunOperationException" => Class::Permanent(Fault::Request),

        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | METRICS_FORBIDDEN
        | "UnauthorizedOperation"
        | "OperationNotPermittedException"
        | "KMSAccessDeniedException"
        | "NotAuthorizedForSourceException"
        | "NotAuthorizedForDetailTypeException"
        | "KMSOptInRequired"
        | "OptInRequired" => Class::Permanent(Fault::Access),

        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => Class::Permanent(Fault::Credentials),

        "ExpiredToken" | "ExpiredTokenException" => Class::Expired,

        // Kinesis about the key, and KMS's own `NotFoundException` and `DisabledException`.
        "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "NotFoundException"
        | "DisabledException" => Class::Permanent(Fault::Key),

        "InvalidArgumentException"
        | "InvalidArnException"
        | "InvalidParameterException"
        | "InvalidLookupAttributesException"
        | "InvalidEventCategoryException"
        | "InvalidMaxResultsException"
        | "InvalidTimeRangeException"
        | "UnsupportedOperationException"
        | "InvalidArgument"
        | "InvalidAccountIdException"
        | "MalformedDetail"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "UnknownOperationException"
        | "ParameterNotFound"
        | "ParameterVersionNotFound"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "NoSuchConfigurationAggregatorException"
        | "InvalidExpressionException"
        | "InvalidLimitException"
        | "AWSOrganizationsNotInUseException"
        | "RegionDisabledException" => Class::Permanent(Fault::Request),

        // Throttled.
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        // Out of date: signatures, iterators and tokens are made anew for the next call.
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "ExpiredIteratorException"
        | "ExpiredNextTokenException"
        | "InvalidNextTokenException"
        | "PaginationTokenExpiredException"
        // Faults of a service.
        | "InternalFailure"
        | "InternalFailureException"
        | "InternalServerError"
        | "InternalServiceException"
        | "InternalError"
        | "InternalException"
        | "KMSInternalException"
        | "DependencyTimeoutException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "RequestAbortedException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Class::Retryable,

        _ => Class::Retryable,
    }
}

/// What a failure asks of whoever runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A permission is missing.
    Permission,
    /// There are no credentials, or AWS does not take them.
    Credentials,
    /// There was no answer.
    NoAnswer,
    /// The endpoint's host does not exist.
    Host,
    /// Whoever answered is not AWS.
    Stranger,
    /// The certificate of whoever answered is not trusted.
    Certificate,
    /// Something else.
    Other,
}

impl Refusal {
    /// Reads a failure's code, and where there is none, the SDK's words.
    pub fn of(failure: &Failure) -> Self {
        match failure.code.as_str() {
            "RequestExpired" => Self::Credentials,
            _ if matches!(failure.class, Class::Permanent(Fault::Credentials) | Class::Expired) => Self::Credentials,
            UNTRUSTED => Self::Certificate,
            NO_HOST => Self::Host,
            NOT_AWS => Self::Stranger,
            NO_CREDENTIALS => Self::Credentials,
            NOT_SENT | TIMEOUT if failure.message.as_str().contains("credentials") => Self::Credentials,
            NO_ANSWER | TIMEOUT => Self::NoAnswer,
            _ if failure.class == Class::Permanent(Fault::Access) => Self::Permission,
            _ => Self::Other,
        }
    }
}

/// Whether the token of a next page is not taken any more: the list has to be read anew.
pub fn is_token_refused(failure: &Failure) -> bool {
    failure.code.as_str() == "InvalidNextTokenException"
}

/// Whether IAM says that a role or user is not there (IAM API reference, common errors of its calls).
pub fn is_no_such_entity(failure: &Failure) -> bool {
    failure.code.as_str() == "NoSuchEntity"
}

/// The failure of one entry of a request that was answered.
pub fn of_entry(call: &'static str, code: &str, message: &str) -> Failure {
    let class = class_of(call, code, message);
    Failure { class, message: words(class, message), ..Failure::retryable(call, code, message) }
}

/// A refusal's words are kept whole, since their end says which policy denied the call. What passes is said often, and says
/// little.
pub fn words(class: Class, message: &str) -> EventText {
    match class {
        Class::Permanent(_) => EventText::of_service(message),
        _ => EventText::new(message),
    }
}

/// Whether a Region does not know our credentials at all, as one does that the account has not enabled (AWS account management
/// reference guide: credentials are good in the Regions that are enabled).
pub fn refuses_credentials(failure: &Failure) -> bool {
    let is_one = matches!(failure.code.as_str(), "UnrecognizedClientException" | "InvalidClientTokenId");
    is_one && failure.class != Class::Permanent(Fault::Request)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ANY: &str = "kinesis:DescribeStreamSummary";
    const ACCESS: Class = Class::Permanent(Fault::Access);
    /// The codes about credentials.
    const CREDENTIALS: Class = Class::Permanent(Fault::Credentials);
    const KEY: Class = Class::Permanent(Fault::Key);
    const REQUEST: Class = Class::Permanent(Fault::Request);
    const NO_ACCOUNT: &str = "No account found for the given parameters";

    /// Code and message of a call, its class, and what it asks of whoever runs a command.
    const ROWS: &[(&str, &str, &str, Class, Refusal)] = &[
        (PUT_EVENTS, "ResourceNotFoundException", "Event bus x does not exist.", REQUEST, Refusal::Other),
        (ANY, "ResourceNotFoundException", "Stream orders under account 1 not found.", Class::Ignored, Refusal::Other),
        (ANY, "ResourceInUseException", "not ACTIVE, instead in state UPDATING", Class::Waiting, Refusal::Other),
        (ANY, "LimitExceededException", "Rate exceeded for account 1.", Class::Retryable, Refusal::Other),
        (ANY, "LimitExceededException", "another limit", Class::Retryable, Refusal::Other),
        (
            START_STREAM_ENCRYPTION,
            "LimitExceededException",
            "Rate exceeded for account 1.",
            Class::Retryable,
            Refusal::Other,
        ),
        (
            START_STREAM_ENCRYPTION,
            "LimitExceededException",
            "Rate exceeded for stream orders under account 1.",
            Class::RateOrQuota,
            Refusal::Other,
        ),
        (START_STREAM_ENCRYPTION, "LimitExceededException", "another limit", Class::Quota, Refusal::Other),
        (ANY, "AccessDeniedException", "", ACCESS, Refusal::Permission),
        (ANY, "AccessDenied", "", ACCESS, Refusal::Permission),
        (ANY, "NotAuthorized", "", ACCESS, Refusal::Permission),
        (ANY, "UnauthorizedOperation", "", ACCESS, Refusal::Permission),
        (ANY, "OperationNotPermittedException", "", ACCESS, Refusal::Permission),
        (ANY, "KMSAccessDeniedException", "", ACCESS, Refusal::Permission),
        (PUT_EVENTS, "NotAuthorizedForSourceException", "", ACCESS, Refusal::Permission),
        (PUT_EVENTS, "NotAuthorizedForDetailTypeException", "", ACCESS, Refusal::Permission),
        (ANY, "KMSOptInRequired", "", ACCESS, Refusal::Permission),
        (ANY, "OptInRequired", "", ACCESS, Refusal::Permission),
        (ANY, "UnrecognizedClientException", NO_ACCOUNT, REQUEST, Refusal::Other),
        (ANY, "UnrecognizedClientException", "The security token is invalid.", CREDENTIALS, Refusal::Credentials),
        (ANY, "InvalidClientTokenId", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "MissingAuthenticationToken", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "MissingAuthenticationTokenException", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "IncompleteSignature", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "IncompleteSignatureException", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "InvalidSignatureException", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "SignatureDoesNotMatch", "", CREDENTIALS, Refusal::Credentials),
        (ANY, "KMSDisabledException", "", KEY, Refusal::Other),
        (ANY, "KMSInvalidStateException", "", KEY, Refusal::Other),
        (ANY, "KMSNotFoundException", "", KEY, Refusal::Other),
        (ANY, "NotFoundException", "", KEY, Refusal::Other),
        (ANY, "DisabledException", "", KEY, Refusal::Other),
        (ANY, "DryRunOperationException", "Request would have succeeded", REQUEST, Refusal::Other),
        (ANY, "InvalidArgumentException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidArnException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidParameterException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidLookupAttributesException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidEventCategoryException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidMaxResultsException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidTimeRangeException", "", REQUEST, Refusal::Other),
        (ANY, "UnsupportedOperationException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidArgument", "", REQUEST, Refusal::Other),
        (ANY, "InvalidAccountIdException", "", REQUEST, Refusal::Other),
        (PUT_EVENTS, "MalformedDetail", "", REQUEST, Refusal::Other),
        (ANY, "ValidationException", "", REQUEST, Refusal::Other),
        (ANY, "ValidationError", "", REQUEST, Refusal::Other),
        (ANY, "SerializationException", "", REQUEST, Refusal::Other),
        (ANY, "UnknownOperationException", "", REQUEST, Refusal::Other),
        (ANY, "ParameterNotFound", "", REQUEST, Refusal::Other),
        (ANY, "ParameterVersionNotFound", "", REQUEST, Refusal::Other),
        (ANY, "QueueDoesNotExist", "", REQUEST, Refusal::Other),
        (ANY, "NoSuchConfigurationAggregatorException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidExpressionException", "", REQUEST, Refusal::Other),
        (ANY, "InvalidLimitException", "", REQUEST, Refusal::Other),
        (ANY, "AWSOrganizationsNotInUseException", "", REQUEST, Refusal::Other),
        (ANY, "RegionDisabledException", "", REQUEST, Refusal::Other),
        (ANY, "AWS.SimpleQueueService.NonExistentQueue", "", REQUEST, Refusal::Other),
        (ANY, "Throttling", "", Class::Retryable, Refusal::Other),
        (ANY, "ThrottlingException", "", Class::Retryable, Refusal::Other),
        (ANY, "ThrottledException", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestThrottled", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestThrottledException", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestLimitExceeded", "", Class::Retryable, Refusal::Other),
        (ANY, "TooManyRequestsException", "", Class::Retryable, Refusal::Other),
        (ANY, "SlowDown", "", Class::Retryable, Refusal::Other),
        (ANY, "ProvisionedThroughputExceededException", "", Class::Retryable, Refusal::Other),
        (ANY, "KMSThrottlingException", "", Class::Retryable, Refusal::Other),
        (ANY, "ExpiredToken", "", Class::Expired, Refusal::Credentials),
        (ANY, "ExpiredTokenException", "", Class::Expired, Refusal::Credentials),
        (ANY, "RequestExpired", "", Class::Retryable, Refusal::Credentials),
        (ANY, "RequestTimeTooSkewed", "", Class::Retryable, Refusal::Other),
        (ANY, "ExpiredIteratorException", "", Class::Retryable, Refusal::Other),
        (ANY, "ExpiredNextTokenException", "", Class::Retryable, Refusal::Other),
        (ANY, "InvalidNextTokenException", "", Class::Retryable, Refusal::Other),
        (ANY, "PaginationTokenExpiredException", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalFailure", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalFailureException", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalServerError", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalServiceException", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalError", "", Class::Retryable, Refusal::Other),
        (ANY, "InternalException", "", Class::Retryable, Refusal::Other),
        (ANY, "KMSInternalException", "", Class::Retryable, Refusal::Other),
        (ANY, "DependencyTimeoutException", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestTimeout", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestTimeoutException", "", Class::Retryable, Refusal::Other),
        (ANY, "RequestAbortedException", "", Class::Retryable, Refusal::Other),
        (ANY, "ServiceUnavailable", "", Class::Retryable, Refusal::Other),
        (ANY, "ServiceUnavailableException", "", Class::Retryable, Refusal::Other),
        (ANY, "NeverHeardOfException", "", Class::Retryable, Refusal::Other),
        (ANY, NO_ANSWER, "connection refused", Class::Retryable, Refusal::NoAnswer),
        (ANY, NO_HOST, "Name or service not known", Class::Retryable, Refusal::Host),
        (ANY, TIMEOUT, "", Class::Retryable, Refusal::NoAnswer),
        (ANY, TIMEOUT, "loading credentials took too long", Class::Retryable, Refusal::Credentials),
        (ANY, NO_CREDENTIALS, "no credentials found in chain", Class::Retryable, Refusal::Credentials),
        (ANY, UNREADABLE, "HTTP 500 without an error code", Class::Retryable, Refusal::Other),
        (ANY, UNTRUSTED, "the certificate is not trusted", Class::Retryable, Refusal::Certificate),
    ];

    #[test]
    fn each_row_of_the_table() {
        for &(call, code, message, class, refusal) in ROWS {
            let failure = of_entry(call, code, message);
            assert_eq!(failure.class, class, "{call} {code} {message}");
            assert_eq!(Refusal::of(&failure), refusal, "{call} {code} {message}");
        }
    }

    /// Which policy refused a call stands at the end of AWS's words, behind two ARNs.
    #[test]
    fn the_words_of_a_refusal_are_kept_whole_and_others_are_cut() {
        let words = format!("{} with an explicit deny in a service control policy", "x".repeat(1_500));
        assert_eq!(of_entry(ANY, "AccessDeniedException", &words).message.as_str(), words);
        assert_eq!(of_entry(ANY, "InvalidArgumentException", &words).message.as_str(), words);
        let bounded = of_entry(ANY, "AccessDeniedException", &"x".repeat(100_000)).message;
        assert_eq!(bounded.as_str().chars().count(), 2_001);
        assert_eq!(of_entry(ANY, "ThrottlingException", &words).message.as_str().chars().count(), 201);
    }

    /// What stands between quotes in the code of a function of this file.
    fn quoted(function: &str) -> BTreeSet<&'static str> {
        let (_, text) = include_str!("codes.rs").split_once(&format!("fn {function}(")).unwrap();
        let (text, _) = text.split_once("\n}\n").unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        code.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(|text| !text.contains(' ')).collect()
    }

    /// A code that is added to the table, or taken out of it, has to be so here too.
    #[test]
    fn every_code_of_the_table_has_a_row() {
        let here: BTreeSet<&str> = ROWS.iter().map(|(_, code, ..)| *code).collect();
        let made_up = ["NeverHeardOfException", NO_ANSWER, NO_CREDENTIALS, NO_HOST, TIMEOUT, UNREADABLE, UNTRUSTED];
        let expected: BTreeSet<&str> = here.into_iter().filter(|code| !made_up.contains(code)).collect();
        assert_eq!(quoted("class_of"), expected);
    }

    #[test]
    fn a_region_that_does_not_know_our_credentials() {
        let refuses = |code, message| refuses_credentials(&of_entry(ANY, code, message));
        assert!(refuses("UnrecognizedClientException", "The security token included in the request is invalid."));
        assert!(refuses("InvalidClientTokenId", ""));
        assert!(
            !refuses("UnrecognizedClientException", NO_ACCOUNT),
            "an account that does not exist is no such Region"
        );
        assert!(!refuses("ExpiredTokenException", ""));
        assert!(!refuses("AccessDeniedException", ""));
    }
}
