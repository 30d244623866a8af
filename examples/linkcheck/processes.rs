//! Pages that are read in child processes: this program again, one for each worker.
//!
//! They are there with the feature `process`.

#[cfg(all(feature = "process", unix))]
pub(crate) use children::{serve, start};
#[cfg(not(all(feature = "process", unix)))]
pub(crate) use nobody::{serve, start};

#[cfg(all(feature = "process", unix))]
mod children {
    use std::process::Command;

    use parallel_workers::process::{self, Child};
    use parallel_workers::{ProcessorService, ProcessorServiceBuilder, StartError};

    use crate::page::{Reader, Scope};

    /// In a child it reads pages, and never returns; otherwise it does nothing.
    pub(crate) fn serve() {
        process::serve(|| Reader::new(told()));
    }

    pub(crate) fn start(
        builder: ProcessorServiceBuilder<Child<Reader>>,
        scope: Scope,
    ) -> Result<ProcessorService<Child<Reader>>, StartError> {
        builder.try_start(move || {
            let scope = scope.clone();
            Child::this_program()
                .configure(move |command| tell(scope, command))
                // What is on a page may be as long as the page is, as it may on a thread.
                .frame_limit(u32::MAX)
                .start()
        })
    }

    /// Makes arguments for a child of what it is to read. A folder's name need not be UTF-8.
    fn tell(scope: Scope, command: &mut Command) {
        command.arg(scope.root);
        command.arg(scope.has_fragments.to_string());
        command.args(scope.prefix);
    }

    /// In a child: what it was told.
    fn told() -> Scope {
        let mut arguments = std::env::args_os().skip(1);
        Scope {
            root: arguments.next().unwrap_or_default().into(),
            has_fragments: arguments.next().is_some_and(|has| has == "true"),
            prefix: arguments
                .next()
                .map(|prefix| prefix.to_string_lossy().into_owned()),
        }
    }
}

/// Without the feature, no process is started.
#[cfg(not(all(feature = "process", unix)))]
mod nobody {
    use parallel_workers::{ProcessorService, ProcessorServiceBuilder};

    use crate::page::{Reader, Scope};

    pub(crate) fn serve() {}

    pub(crate) fn start(
        _: ProcessorServiceBuilder<Reader>,
        _: Scope,
    ) -> Result<ProcessorService<Reader>, &'static str> {
        Err(
            "--processes needs the feature process: cargo run --features process --example linkcheck",
        )
    }
}
