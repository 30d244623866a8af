use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package that is installed into `target`, once for all test programs and all target folders. `works` looks whether
/// it can be used; where it cannot, nothing is kept.
#[allow(
    clippy::incompatible_msrv,
    reason = "the client of these servers needs a later Rust than the crate without it, and file locks are no later"
)]
pub fn installed(
    name: &str,
    package: &str,
    release: &str,
    works: impl Fn(&Path) -> bool,
) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(name);
    let installed = folder.join(release);
    if installed.exists() {
        return Ok(installed);
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // One installs, and the others wait for it.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !installed.exists() {
        // It gets its name when all is there: who is killed half-way leaves nothing that looks whole.
        let half = tempfile::tempdir_in(&folder).map_err(|error| error.to_string())?;
        install(half.path(), &format!("{package}=={release}"))?;
        if !works(half.path()) {
            return Err("what pip has installed does not run".to_owned());
        }
        fs::rename(half.keep(), &installed).map_err(|error| error.to_string())?;
    }
    Ok(installed)
}

fn install(folder: &Path, package: &str) -> Result<(), String> {
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--target"])
        .args([folder.as_os_str(), package.as_ref()])
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("pip: {}, {errors}", output.status));
    }
    Ok(())
}
