//! Uploads to URLs that the server names. It may be hostile, or a hostile client may have made it store such a URL: nothing
//! inside the host's network is reached this way, and no credential goes there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::Instant;
use url::Host;

use super::link::{Call, Link};
use super::reply::Failure;
use super::{Http, headers};

/// Permission to upload one file, as Databricks grants it (`ArtifactCredentialInfo` of its artifact service).
struct Grant {
    url: Url,
    headers: HeaderMap,
    kind: String,
}

impl Http {
    /// Uploads a file by a grant of the server.
    pub(crate) async fn upload(
        &self,
        grant: &Value,
        body: Bytes,
    ) -> std::result::Result<(), Failure> {
        let refused = |problem| {
            Failure::unsendable(format!(
                "the upload that the server asks for is refused: {problem}"
            ))
        };
        let grant = Grant::read(grant).map_err(refused)?;
        let link = tokio::time::timeout(self.timeout, self.upload_link(&grant.url)).await;
        let late = |_| Failure::passing("the upload's host was not resolved in time".to_owned());
        let link = link.map_err(late)?.map_err(refused)?;
        for (method, url, body) in grant.steps(body) {
            let limit = self.allowance(body.len());
            let call = Call {
                method,
                url,
                headers: grant.headers.clone(),
                body,
                most: super::reply::MAX_BODY,
                deadline: Instant::now() + limit,
                limit,
            };
            let reply = self.receive(&link, &call, grant.url.host_str().unwrap_or_default());
            self.accept(reply.await?, false)?;
        }
        Ok(())
    }

    /// The way to an upload, if it is one that may be taken.
    async fn upload_link(&self, url: &Url) -> std::result::Result<Arc<Link>, String> {
        let same_origin = url.origin() == self.url.origin();
        if url.scheme() != "https" && !same_origin {
            return Err("its scheme is not https".to_owned());
        }
        let guard = Guard {
            own: self.url.host().map(|host| host.to_owned()),
        };
        let host = url.host().map(|host| host.to_owned());
        let via = self.proxies.via(url);
        match &host {
            None => return Err("it has no host".to_owned()),
            Some(host) if guard.is_own(host) => {}
            Some(Host::Ipv4(address)) if !is_public_v4(*address) => return Err(PRIVATE.to_owned()),
            Some(Host::Ipv6(address)) if !is_public_v6(*address) => return Err(PRIVATE.to_owned()),
            // The proxy resolves the name. What it resolves to here is the best that there is to go by.
            Some(Host::Domain(name)) if via.is_some() => {
                let resolved = tokio::net::lookup_host((name.as_str(), 0)).await;
                if resolved.is_ok_and(|mut all| all.any(|address| !is_public(address.ip()))) {
                    return Err(PRIVATE.to_owned());
                }
            }
            Some(_) => {}
        }
        let mut last = self.uploads.lock();
        if let Some((origin, link)) = &*last
            && *origin == url.origin()
        {
            return Ok(link.clone());
        }
        // Through a proxy, only the proxy is connected to.
        let guard = via.is_none().then(|| Arc::new(guard));
        let secure = url.scheme() == "https";
        let link = Arc::new(Link::new(secure, self.tls.clone(), via, guard));
        *last = Some((url.origin(), link.clone()));
        Ok(link)
    }
}

const PRIVATE: &str = "its host is inside a private network";

impl Grant {
    fn read(grant: &Value) -> std::result::Result<Self, String> {
        let uri = grant["signed_uri"].as_str().unwrap_or_default();
        let url = Url::parse(uri).map_err(|_| "its URL is malformed")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its URL holds credentials".to_owned());
        }
        let mut headers = HeaderMap::new();
        for header in grant["headers"].as_array().into_iter().flatten() {
            let (name, value) =
                header_of(header).ok_or("it asks for a header that must not be sent")?;
            headers.append(name, value);
        }
        let kind = grant["type"].as_str().unwrap_or_default().to_owned();
        // Azure wants to know what kind of blob it is; signed URLs of others do not cover more headers than they name.
        if kind == "AZURE_SAS_URI" {
            headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
        }
        Ok(Grant { url, headers, kind })
    }

    /// The requests that store a file.
    fn steps(&self, body: Bytes) -> Vec<(Method, Url, Bytes)> {
        if self.kind != "AZURE_ADLS_GEN2_SAS_URI" {
            return vec![(Method::PUT, self.url.clone(), body)];
        }
        // Azure Data Lake Storage Gen2: create the path, then append and flush.
        let with = |pairs: &[(&str, &str)]| {
            let mut url = self.url.clone();
            url.query_pairs_mut().extend_pairs(pairs);
            url
        };
        let append = [("action", "append"), ("position", "0"), ("flush", "true")];
        vec![
            (Method::PUT, with(&[("resource", "file")]), Bytes::new()),
            (Method::PATCH, with(&append), body),
        ]
    }
}

fn header_of(header: &Value) -> Option<(HeaderName, HeaderValue)> {
    let name: HeaderName = header["name"].as_str()?.parse().ok()?;
    let value = headers::value(header["value"].as_str()?)?;
    let own = headers::is_reserved(&name) || [AUTHORIZATION, COOKIE].contains(&name);
    (!own).then_some((name, value))
}

/// Resolves names, and keeps back addresses that must not be connected to. Looking at the address that is connected to,
/// not at one of an earlier look-up, leaves a name no time to change its mind.
pub(super) struct Guard {
    /// The tracking server, which may be anywhere.
    own: Option<Host<String>>,
}

impl Guard {
    fn is_own(&self, host: &Host<String>) -> bool {
        self.own.as_ref() == Some(host)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.is_own(&Host::Domain(name.as_str().to_owned()));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found
                .filter(|address| own || is_public(address.ip()))
                .collect();
            match open.is_empty() {
                true => Err(PRIVATE.into()),
                false => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether an address is reachable by everybody (IANA's special-purpose registry). Metadata services of clouds are
/// link-local or private, but for Alibaba's and Oracle's, which are in ranges left out here as well.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    if let Some(inner) = embedded(address) {
        return is_public_v4(inner);
    }
    // Global unicast, without documentation (2001:db8::/32) and what IANA keeps for protocols (2001::/23).
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0xdb8 || b < 0x200))
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            of(high, low)
        }
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_networks_are_not_public() {
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "8.8.8.8",
            "52.216.0.1",
            "172.32.0.1",
            "2600:1f00::1",
            "2a00::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    fn grant(uri: &str, kind: &str, headers: Value) -> std::result::Result<Grant, String> {
        Grant::read(&serde_json::json!({"signed_uri": uri, "type": kind, "headers": headers}))
    }

    #[test]
    fn grants_that_are_refused() {
        let header = |name: &str, value: &str| serde_json::json!([{"name": name, "value": value}]);
        let put = "AWS_PRESIGNED_URL";
        assert!(grant("https://b/k?sig=1", put, header("x-amz-acl", "private")).is_ok());
        for (uri, headers) in [
            ("", Value::Null),
            ("/relative", Value::Null),
            ("https://me@b/k", Value::Null),
            ("https://me:pw@b/k", Value::Null),
            ("https://b/k", header("Authorization", "Bearer x")),
            ("https://b/k", header("cookie", "a=b")),
            ("https://b/k", header("Host", "inside")),
            ("https://b/k", header("Transfer-Encoding", "chunked")),
            ("https://b/k", header("x-a", "1\r\nx-evil: 2")),
            ("https://b/k", header("x-a\n", "1")),
        ] {
            assert!(grant(uri, put, headers).is_err(), "{uri}");
        }
    }

    #[test]
    fn azure_has_its_own_ways() {
        let blob = grant("https://b/k?sig=1", "AZURE_SAS_URI", Value::Null).unwrap();
        assert_eq!(blob.headers["x-ms-blob-type"], "BlockBlob");
        assert_eq!(blob.steps(Bytes::from("x")).len(), 1);
        let lake = grant("https://b/k?sig=1", "AZURE_ADLS_GEN2_SAS_URI", Value::Null).unwrap();
        let steps = lake.steps(Bytes::from("x"));
        let urls: Vec<&str> = steps.iter().map(|(_, url, _)| url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://b/k?sig=1&resource=file",
                "https://b/k?sig=1&action=append&position=0&flush=true"
            ]
        );
    }
}
