//! The program `sim-tb`: what it says and how it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn sim_tb(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim-tb"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sim-tb-cli-{name}-{}", std::process::id()))
}

/// Exit code and standard error of a run that ends by itself.
fn run(arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = sim_tb(arguments).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    (status.code().unwrap(), text)
}

fn within_seconds(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the server however the test does.
struct Server(Child);
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mistakes_are_named() {
    let path = socket("mistakes");
    let path = path.to_str().unwrap();
    let (code, text) = run(&["serve"]);
    assert!(code == 2 && text.contains("--socket"), "{code} {text}");
    let (code, text) = run(&["serve", "--socket", path, "--config", "huge"]);
    assert!(
        code == 1 && text.contains("`huge`; known: tiny, sim"),
        "{code} {text}"
    );
    let (code, text) = run(&[
        "serve",
        "--socket",
        "/nowhere/x",
        "--config",
        "tiny",
        "--model",
    ]);
    assert!(code == 1 && text.contains("/nowhere/x"), "{code} {text}");
    let missing = sim_tb(&["serve", "--socket", path, "--config", "tiny"])
        .env("ROUNDHOUSE_SIM_DIR", "/nowhere")
        .output()
        .unwrap();
    let text = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text.contains("is not built: run `make sim CONFIG=tiny`"),
        "{text}"
    );
}

#[test]
fn the_socket_is_private_and_an_interrupt_ends_it_orderly() {
    let path = socket("interrupt");
    let arguments = [
        "serve",
        "--socket",
        path.to_str().unwrap(),
        "--config",
        "tiny",
        "--model",
    ];
    // From a shell that lets everybody write what is made in it.
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "umask 0; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_sim-tb"),
    ]);
    let child = shell.args(arguments).stderr(Stdio::null()).spawn().unwrap();
    let mut server = Server(child);
    within_seconds("the socket", || path.exists());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    // With a client that stays.
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let pid = server.0.id().to_string();
    assert!(Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap()
        .success());
    within_seconds("its end", || server.0.try_wait().unwrap().is_some());
    assert!(server.0.wait().unwrap().success());
    assert!(!path.exists());
}
