//! The kubeconfig that lets kubectl, and every other client, in.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::auth::Token;
use super::files::{self, FileError};

/// How to reach and trust this server.
#[derive(Debug)]
pub struct Kubeconfig<'a> {
    /// `https://127.0.0.1:7443`
    pub server: &'a str,
    /// PEM of the authority that signs the server's certificate.
    pub authority_pem: &'a str,
    pub token: &'a Token,
}

impl Kubeconfig<'_> {
    /// Replaces `path`, mode 0600; its presence says that the server is ready.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        files::write_private(path, self.render().as_bytes())
    }

    fn render(&self) -> String {
        let Kubeconfig { server, authority_pem, token } = self;
        let (authority, token) = (STANDARD.encode(authority_pem), token.secret());
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: tenure
  cluster:
    server: \"{server}\"
    certificate-authority-data: {authority}
users:
- name: tenure-admin
  user:
    token: \"{token}\"
contexts:
- name: tenure
  context:
    cluster: tenure
    user: tenure-admin
    namespace: default
current-context: tenure
"
        )
    }
}
