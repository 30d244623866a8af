use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::folder::folder;

/// Who vouches for accounts; with one account, which has JetStream and vouches for users.
///
/// The server knows none of the users: each shows a token that the account has signed, from a credentials file.
#[derive(Clone)]
pub struct Operator(Arc<Keys>);

struct Keys {
    folder: Arc<TempDir>,
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        Self(Arc::new(Keys {
            folder: Arc::new(folder()),
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }))
    }

    /// A credentials file of a user, who may publish to and subscribe to what these lists allow.
    pub fn credentials(&self, name: &str, publish: &[&str], subscribe: &[&str]) -> PathBuf {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": { "allow": publish }, "sub": { "allow": subscribe },
        });
        let token = token(&self.0.account, &user.public_key(), name, &claims);
        let seed = user.seed().unwrap();
        let file = self.0.folder.path().join(format!("{name}.creds"));
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(&file, text).unwrap();
        file
    }

    pub(super) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.0.folder)
    }

    /// How a server is told of the operator and the accounts.
    pub(super) fn line(&self) -> String {
        let Keys {
            operator,
            account,
            system,
            ..
        } = &*self.0;
        let claims = json!({ "type": "operator", "version": 2 });
        let own = token(operator, &operator.public_key(), "operator", &claims);
        let vouch = |account: &KeyPair, name: &str, storage: i64| {
            token(
                operator,
                &account.public_key(),
                name,
                &account_claims(storage),
            )
        };
        let (key, system_key) = (account.public_key(), system.public_key());
        format!(
            "operator: {own}\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload: {{\n{key}: {}\n{system_key}: {}\n}}",
            vouch(account, "account", -1),
            // The system's account may have none.
            vouch(system, "system", 0),
        )
    }
}

/// No limits, but for `storage` in JetStream.
fn account_claims(storage: i64) -> Value {
    json!({
        "type": "account", "version": 2,
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
        },
    })
}

/// What `signer` says of who has the public key `subject`.
fn token(signer: &KeyPair, subject: &str, name: &str, claims: &Value) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": subject, "iat": now.unwrap().as_secs(), "iss": signer.public_key(), "name": name, "sub": subject,
        "nats": claims,
    });
    let signed = [head, body].map(|part| base64(part.to_string().as_bytes()));
    let signed = signed.join(".");
    let signature = signer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64(&signature))
}

/// The variant for addresses, without what fills up the end.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, n| {
            bits << 8 | usize::from(*three.get(n).unwrap_or(&0))
        });
        let letters = (0..=three.len()).map(|n| LETTERS[bits >> (18 - 6 * n) & 63]);
        text.extend(letters.map(char::from));
    }
    text
}
