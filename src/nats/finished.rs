//! What has become of a request that a worker's service had.

use serde::Serialize;

use crate::error::Failure;
use crate::loss::Loss;
use crate::nats::codec::Codec;
use crate::nats::message::{Answer, Status};

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) enum Finished {
    /// There is a result.
    Answer(Answer),
    /// Nobody wants it.
    Aborted,
    /// It was taken back before it began.
    TakenBack,
    /// It was not begun, for no processor could be had.
    Untouched,
    /// It began, and its worker was lost.
    Lost(String),
}

impl Finished {
    /// What the outcome of its promise comes to.
    pub(crate) fn of<T: Serialize>(
        outcome: Result<&T, Failure>,
        codec: Codec,
        longest: usize,
    ) -> Self {
        match outcome {
            Ok(output) => Self::Answer(written(output, codec, longest)),
            Err(Failure::Panicked(panic)) => {
                let answer = Answer::panicked(panic.message(), panic.location());
                Self::Answer(fitting(answer, longest))
            }
            Err(Failure::Aborted) => Self::Aborted,
            Err(Failure::Stopped) => Self::TakenBack,
            Err(Failure::WorkerLost(Loss::NoProcessor | Loss::Left)) => Self::Untouched,
            Err(failure) => Self::Lost(failure.to_string()),
        }
    }
}

fn written<T: Serialize>(output: &T, codec: Codec, longest: usize) -> Answer {
    match codec.write(output) {
        Ok(bytes) => fitting(Answer::new(Status::Output, bytes), longest),
        Err(error) => Answer::panicked(&format!("the output could not be written: {error}"), None),
    }
}

/// The answer, or one that says that it is too long: what the server does not take would be processed for ever.
fn fitting(answer: Answer, longest: usize) -> Answer {
    let length = answer.payload.len();
    if length <= longest {
        return answer;
    }
    let message = format!(
        "what the processor gave takes {length} bytes, and the server takes no more than {longest}: have it give a \
         reference to the data, or raise `max_payload` in the server's configuration"
    );
    Answer::panicked(&message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_the_server_says_so() {
        let outcome: Result<&String, Failure> = Ok(&"a".repeat(100));
        let Finished::Answer(answer) = Finished::of(outcome, Codec::Json, 50) else {
            panic!("there is an answer");
        };
        assert_eq!(answer.status, Status::Panicked);
        assert!(answer.panic().message().contains("takes 102 bytes"));
    }
}
