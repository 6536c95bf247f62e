//! Where the policy and the mode may live, behind [`ParameterApi`]: a file of the package, an SSM parameter, or the text
//! itself. It reads and does not parse.

use std::io;
use std::path::Path;

use aws_sdk_ssm::types::ParameterType;

use super::Aws;
use super::errors::unreadable;
use crate::config::Source;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::text::EventText;
use crate::ports::ParameterApi;

const GET_PARAMETER: &str = "ssm:GetParameter";
const READ_FILE: &str = "file:Read";

impl ParameterApi for Aws {
    async fn read(&self, source: &Source) -> Result<String, Failure> {
        match source {
            Source::Inline(text) => Ok(text.clone()),
            Source::File(path) => read_file(&self.package.join(path)),
            Source::Parameter(name) => self.parameter(name).await,
        }
    }
}

impl Aws {
    async fn parameter(&self, name: &str) -> Result<String, Failure> {
        // A policy is no secret. Without decryption the function needs no permission to decrypt.
        let request = self.ssm().get_parameter().name(name).with_decryption(false);
        let answer = request.send().await.map_err(|error| self.failure(GET_PARAMETER, &error))?;
        let parameter = answer.parameter.ok_or_else(|| unreadable(GET_PARAMETER, "no parameter in the answer"))?;
        if parameter.r#type == Some(ParameterType::SecureString) {
            let message = format!("parameter `{name}` is a SecureString, which is not decrypted; store it as a String");
            return Err(permanent(GET_PARAMETER, Fault::Request, "SecureString", &message));
        }
        parameter.value.ok_or_else(|| unreadable(GET_PARAMETER, "no value in the answer"))
    }
}

/// A file of the package is small and local, so that reading it holds nothing up.
fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("`{}`: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                permanent(READ_FILE, Fault::Request, "NotFound", &message)
            }
            io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData => {
                permanent(READ_FILE, Fault::Request, "NotText", &message)
            }
            io::ErrorKind::PermissionDenied => permanent(READ_FILE, Fault::Access, "PermissionDenied", &message),
            _ => Failure::retryable(READ_FILE, "Unreadable", &message),
        }
    })
}

fn permanent(call: &'static str, fault: Fault, code: &str, message: &str) -> Failure {
    Failure {
        class: Class::Permanent(fault),
        call,
        code: EventText::new(code),
        message: EventText::new(message),
        may_have_applied: false,
    }
}
