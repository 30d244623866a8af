//! Pages that are read on other machines: by this program, wherever it runs with `--serve`.
//!
//! They are there with the feature `nats`.

#[cfg(not(feature = "nats"))]
pub(crate) use nobody::{serve, start};
#[cfg(feature = "nats")]
pub(crate) use remote::{serve, start};

#[cfg(feature = "nats")]
mod remote {
    use std::error::Error;
    use std::path::PathBuf;
    use std::sync::mpsc;

    use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions};
    use parallel_workers::{ProcessorService, ProcessorServiceBuilder, StartError};

    use crate::page::{Reader, Scope};

    /// More than the pages take that are read at a time.
    const STORAGE: u64 = 64 << 20;

    pub(crate) fn start(
        builder: ProcessorServiceBuilder<Remote<Reader>>,
        servers: &str,
        scope: &Scope,
    ) -> Result<ProcessorService<Remote<Reader>>, StartError> {
        let (connection, queue) = (Connection::to(servers), queue(scope));
        builder.try_start(move || Remote::to(connection.clone(), queue.clone()).connect())
    }

    /// Reads pages for whoever checks these folders, until Ctrl-C.
    pub(crate) fn serve(
        servers: &str,
        scopes: Vec<Scope>,
        workers: usize,
    ) -> Result<(), Box<dyn Error>> {
        let (sender, interrupted) = mpsc::channel();
        // Who hears it twice has heard it.
        ctrlc::set_handler(move || _ = sender.send(()))?;
        let connection = Connection::to(servers);
        let serving = scopes.into_iter().map(|scope| {
            let options = ServeOptions::of(queue(&scope)).workers(workers);
            nats::serve(&connection, options, move || Reader::new(scope.clone()))
        });
        let serving = serving.collect::<Result<Vec<_>, _>>()?;
        println!("serving; Ctrl-C ends it");
        interrupted.recv()?;
        serving.iter().for_each(nats::Serving::stop);
        Ok(())
    }

    /// A queue of its own for each folder, and for each way to read it: pages are called the same in all of them.
    ///
    /// A folder is where it is on every machine, however it is written.
    fn queue(scope: &Scope) -> Queue {
        let folder = std::path::absolute(&scope.root);
        let folder = folder.as_deref().unwrap_or(&scope.root);
        // Without what may be left out: a slash at its end, say.
        let folder: PathBuf = folder.components().collect();
        let mut hash = blake3::Hasher::new();
        hash.update(folder.as_os_str().as_encoded_bytes());
        hash.update(&[0, scope.has_fragments.into()]);
        hash.update(scope.prefix.as_deref().unwrap_or_default().as_bytes());
        let hash = hash.finalize().to_hex();
        Queue::named(format!("linkcheck-{}", &hash[..22])).storage(STORAGE)
    }
}

/// Without the feature, no server is asked.
#[cfg(not(feature = "nats"))]
mod nobody {
    use std::error::Error;

    use parallel_workers::{ProcessorService, ProcessorServiceBuilder};

    use crate::page::{Reader, Scope};

    const WHY: &str =
        "--nats needs the feature nats: cargo run --features nats --example linkcheck";

    pub(crate) fn start(
        _: ProcessorServiceBuilder<Reader>,
        _: &str,
        _: &Scope,
    ) -> Result<ProcessorService<Reader>, &'static str> {
        Err(WHY)
    }

    pub(crate) fn serve(_: &str, _: Vec<Scope>, _: usize) -> Result<(), Box<dyn Error>> {
        Err(WHY.into())
    }
}
