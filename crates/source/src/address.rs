use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why a server must not be made to call `address`, or `None` for a public unicast address.
///
/// IPv4 follows the IANA Special-Purpose Address Registry (RFC 6890), plus the metadata services of
/// clouds that sit on public numbers. IPv6 is the other way round: only global unicast (2000::/3)
/// less its special blocks passes. An address that carries an IPv4 address to the same destination
/// (v4-mapped, NAT64) is judged by that; the tunnels 6to4 and Teredo are refused.
pub(crate) fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

/// Whether `address` belongs to this machine, public or not: what listens here trusts local callers.
pub(crate) fn is_this_machine(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing; it asks the routing table for the source address.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

const LOOPBACK: &str = "this machine (loopback)";
const PRIVATE: &str = "a private network";
const LINK_LOCAL: &str = "link-local";
const METADATA: &str = "a cloud metadata service";
const MULTICAST: &str = "multicast";
const RESERVED: &str = "reserved";
const DOCUMENTATION: &str = "reserved for documentation";
const BENCHMARK: &str = "reserved for benchmarks";
const TUNNEL: &str = "a tunnel to another address";

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const FORBIDDEN_V4: [(Ipv4Net, &str); 19] = [
    (v4(100, 100, 100, 200, 32), METADATA), // Alibaba Cloud
    (v4(168, 63, 129, 16, 32), METADATA),   // Azure
    (v4(169, 254, 169, 254, 32), METADATA), // most others
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), PRIVATE),
    (v4(100, 64, 0, 0, 10), "a carrier's shared network"),
    (v4(127, 0, 0, 0, 8), LOOPBACK),
    (v4(169, 254, 0, 0, 16), LINK_LOCAL),
    (v4(172, 16, 0, 0, 12), PRIVATE),
    (v4(192, 0, 0, 0, 24), RESERVED),
    (v4(192, 0, 2, 0, 24), DOCUMENTATION),
    (v4(192, 88, 99, 0, 24), TUNNEL),
    (v4(192, 168, 0, 0, 16), PRIVATE),
    (v4(198, 18, 0, 0, 15), BENCHMARK),
    (v4(198, 51, 100, 0, 24), DOCUMENTATION),
    (v4(203, 0, 113, 0, 24), DOCUMENTATION),
    (v4(224, 0, 0, 0, 4), MULTICAST),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), RESERVED),
];

const FORBIDDEN_V6: [(Ipv6Net, &str); 9] = [
    (v6(0xfc00, 0, 0, 7), PRIVATE),
    (v6(0xfe80, 0, 0, 10), LINK_LOCAL),
    (v6(0xfec0, 0, 0, 10), PRIVATE), // site-local, deprecated
    (v6(0xff00, 0, 0, 8), MULTICAST),
    (v6(0x2001, 0, 0, 32), TUNNEL), // Teredo
    (v6(0x2001, 0, 0, 23), RESERVED),
    (v6(0x2001, 0xdb8, 0, 32), DOCUMENTATION),
    (v6(0x2002, 0, 0, 16), TUNNEL), // 6to4
    (v6(0x3fff, 0, 0, 20), DOCUMENTATION),
];

const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    FORBIDDEN_V4
        .iter()
        .find(|(net, _)| net.contains(&address))
        .map(|(_, kind)| *kind)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some(LOOPBACK);
    }
    if let Some(inner) = embedded_v4(address) {
        return forbidden_v4(inner);
    }
    match FORBIDDEN_V6.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, kind)) => Some(kind),
        None if GLOBAL_UNICAST.contains(&address) => None,
        None => Some(RESERVED),
    }
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

#[cfg(test)]
mod tests;
