//! Addresses that a webhook may reach. The address that is connected to is checked, not just the name in the URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Non-public networks that may be reached.
#[derive(Debug, Clone, Default)]
pub struct AllowedNetworks(Arc<Vec<IpNet>>);

impl AllowedNetworks {
    /// Parses networks such as `10.1.0.0/16`; a bare address is a network of one.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("`{text}` is not a network such as `10.1.0.0/16`"))
        };
        Ok(Self(Arc::new(texts.iter().map(parse).collect::<Result<_, _>>()?)))
    }

    /// True if an address may be connected to.
    pub fn allow(&self, address: IpAddr) -> bool {
        let plain = unmapped(address);
        self.0.iter().any(|network| network.contains(&plain)) || is_public(plain)
    }
}

/// Unwraps IPv4-mapped IPv6 addresses, so that they are checked as IPv4.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let refused = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local() // also the metadata service of clouds
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)); // benchmarking
    !refused
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    // Only global unicast is public, except ranges that tunnel or translate to other addresses.
    let global = (first & 0xe000) == 0x2000;
    let tunnel = first == 0x2002 // 6to4
        || (first == 0x2001 && second == 0) // Teredo
        || (first == 0x2001 && second == 0x0db8) // documentation
        || (first == 0x2001 && (0x10..0x40).contains(&second)); // ORCHID
    global && !tunnel
}

/// Resolves names and drops every address that may not be connected to.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    pub allowed: AllowedNetworks,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| allowed.allow(address.ip())).collect();
            if addresses.is_empty() {
                return Err("the host name resolves to no allowed address; see `allow_networks`".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_refused() {
        let none = AllowedNetworks::default();
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.1",
            "198.18.0.1",
            "192.88.99.1",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::127.0.0.1",
            "100::1",
        ] {
            assert!(!none.allow(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::64"] {
            assert!(none.allow(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_its_neighbour_is_not() {
        let some = AllowedNetworks::parse(&["127.0.0.0/8".into(), "10.1.0.7".into()]).unwrap();
        assert!(some.allow("127.0.0.1".parse().unwrap()) && some.allow("::ffff:127.0.0.1".parse().unwrap()));
        assert!(some.allow("10.1.0.7".parse().unwrap()) && !some.allow("10.1.0.8".parse().unwrap()));
        assert!(AllowedNetworks::parse(&["everything".into()]).is_err());
    }
}
