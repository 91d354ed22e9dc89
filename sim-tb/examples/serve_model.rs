//! Serves the card's plain model on a vfio-user socket: `serve_model SOCKET CONFIG`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use sim_tb::card_model::CardModel;
use sim_tb::serve::Server;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let args: Vec<_> = std::env::args().collect();
    let [_, socket, config] = &args[..] else {
        return Err("usage: serve_model SOCKET CONFIG".into());
    };
    let config = abi::Config::named(config)?;
    let server = Server::bind(Path::new(socket))?;
    server.run(
        || Ok(Box::new(CardModel::new(config)?)),
        &AtomicBool::new(false),
    )?;
    Ok(())
}
