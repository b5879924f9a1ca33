//! Who is who in a cluster: certificates, tokens, and the kubeconfig of each part.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use super::layout::Layout;
use super::node::NODE_NAME;

/// Names that a client may reach the API server by, whatever its address.
const SERVER_NAMES: [&str; 4] =
    ["localhost", "kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// The random bytes in a token; 16 cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// One who talks to the API server: the name of the kubeconfig, the user, its groups.
struct Account {
    file: &'static str,
    user: String,
    groups: &'static str,
}

fn accounts() -> [Account; 6] {
    let of = |file, user: &str, groups| Account { file, user: user.to_owned(), groups };
    [
        of("admin", "admin", "system:masters"),
        of("controller-manager", "system:kube-controller-manager", ""),
        of("scheduler", "system:kube-scheduler", ""),
        of("kubelet", &format!("system:node:{NODE_NAME}"), "system:nodes"),
        of("proxy", "system:kube-proxy", ""),
        of("coredns", "system:coredns", ""),
    ]
}

/// Writes the certificates, the token file and the kubeconfigs of a cluster whose API server is at
/// `server` for the admin and at `inner_server` for the cluster's own parts. `addresses` are all
/// that clients may reach the API server by.
///
/// When it succeeds the files are in the state folder, readable by their owner alone.
pub(super) fn write(
    layout: &Layout,
    server: &str,
    inner_server: &str,
    addresses: &[&str],
) -> Result<()> {
    let authority = authority()?;
    let private = |name: &str, text: &str| write_private(&layout.dir.join(name), text);
    private("ca.crt", &authority.pem())?;

    let names = SERVER_NAMES.iter().chain(addresses).map(|name| (*name).to_owned());
    let mut serving = CertificateParams::new(names.collect::<Vec<_>>())?;
    serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(&serving, &authority, layout, "apiserver")?;

    // The API server shows this one to the kubelet when it fetches logs and runs commands in
    // containers.
    let mut client = CertificateParams::new(Vec::new())?;
    client.distinguished_name.push(DnType::CommonName, "kube-apiserver-kubelet-client");
    client.distinguished_name.push(DnType::OrganizationName, "system:masters");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(&client, &authority, layout, "kubelet-client")?;

    let service_accounts = KeyPair::generate()?;
    private("service-accounts.key", &service_accounts.serialize_pem())?;
    private("service-accounts.pub", &service_accounts.public_key_pem())?;

    let mut tokens = String::new();
    for Account { file, user, groups } in accounts() {
        let token = token()?;
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        let address = if file == "admin" { server } else { inner_server };
        private(&format!("{file}.kubeconfig"), &kubeconfig(address, &authority.pem(), &token))?;
    }
    private("tokens.csv", &tokens)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        .context("making the certificate authority")
}

fn sign(
    params: &CertificateParams,
    authority: &CertifiedIssuer<'_, KeyPair>,
    layout: &Layout,
    name: &str,
) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate =
        params.signed_by(&key, authority).with_context(|| format!("signing {name}"))?;
    write_private(&layout.dir.join(format!("{name}.crt")), &certificate.pem())?;
    write_private(&layout.dir.join(format!("{name}.key")), &key.serialize_pem())
}

/// A kubeconfig in JSON, which is YAML too.
fn kubeconfig(server: &str, authority: &str, token: &str) -> String {
    use base64::Engine;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "tidegate",
            "cluster": {"server": server, "certificate-authority-data": authority},
        }],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "tidegate", "context": {"cluster": "tidegate", "user": "user"}}],
        "current-context": "tidegate",
    })
    .to_string()
}

fn token() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes).context("reading /dev/urandom")?;
    Ok(hex::encode(bytes))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let _ = fs::remove_file(path);
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}
