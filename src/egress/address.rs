//! May this address be called? The ranges of EG-1 and EG-2, and what re-admits or refuses besides (SEC-4).

use crate::egress::settings::{EgressSettings, Entry};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// EG-1: refused IPv4, with the text that names the range.
const V4: [(Ipv4Net, &str); 16] = [
    v4(0, 0, 8, "0.0.0.0/8"),
    v4(0x0a00, 0, 8, "10.0.0.0/8"),
    v4(0x6440, 0, 10, "100.64.0.0/10"),
    v4(0x7f00, 0, 8, "127.0.0.0/8"),
    v4(0xa9fe, 0, 16, "169.254.0.0/16"),
    v4(0xac10, 0, 12, "172.16.0.0/12"),
    v4(0xc000, 0, 24, "192.0.0.0/24"),
    v4(0xc000, 0x0200, 24, "192.0.2.0/24"),
    v4(0xc058, 0x6300, 24, "192.88.99.0/24"),
    v4(0xc0a8, 0, 16, "192.168.0.0/16"),
    v4(0xc612, 0, 15, "198.18.0.0/15"),
    v4(0xc633, 0x6400, 24, "198.51.100.0/24"),
    v4(0xcb00, 0x7100, 24, "203.0.113.0/24"),
    v4(0xe000, 0, 4, "224.0.0.0/4"),
    v4(0xf000, 0, 4, "240.0.0.0/4"),
    // Azure's wire server, in a public range (EG-5).
    v4(0xa83f, 0x8110, 32, "168.63.129.16/32"),
];

/// EG-2: the only IPv6 that is called at all ...
const GLOBAL: Ipv6Net = v6([0x2000, 0], 3);

/// ... without these.
const V6: [(Ipv6Net, &str); 4] = [
    (v6([0x2001, 0], 23), "2001::/23"),
    (v6([0x2001, 0xdb8], 32), "2001:db8::/32"),
    (v6([0x2002, 0], 16), "2002::/16"),
    (v6([0x3fff, 0], 20), "3fff::/20"),
];

/// NAT64 (RFC 6052), judged by the IPv4 address inside when the operator says so (EG-4).
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);

/// Loopback and link-local: an entry re-admits these only from inside the range (SEC-4).
const CLOSE: [IpNet; 6] = [
    IpNet::V4(v4(0x7f00, 0, 8, "").0),
    IpNet::V4(v4(0, 0, 8, "").0),
    IpNet::V4(v4(0xa9fe, 0, 16, "").0),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128)),
    IpNet::V6(v6([0xfe80, 0], 10)),
];

/// Why `address` may not be called, as `host` (`None`: it stands in the URL as a literal); `None` when it may.
///
/// The text names the range (`10.0.0.0/8`, `not in 2000::/3`) or the entry of `egress.deny`.
#[must_use]
pub fn refused(address: IpAddr, host: Option<&str>, settings: &EgressSettings) -> Option<String> {
    let address = judged_as(address, settings);
    if let Some(net) = nets(&settings.deny).find(|net| net.contains(&address)) {
        return Some(format!("{net} in egress.deny"));
    }
    let range = range(address)?;
    if admitted_by_net(address, settings) || admitted_by_name(address, host, settings) {
        return None;
    }
    Some(range.to_owned())
}

/// The forbidden range that `address` lies in; a mapped address must have been unwrapped.
#[must_use]
pub fn range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, text)| *text),
        IpAddr::V6(v6) if !GLOBAL.contains(&v6) => Some("not in 2000::/3"),
        IpAddr::V6(v6) => V6.iter().find(|(net, _)| net.contains(&v6)).map(|(_, text)| *text),
    }
}

/// `::ffff:a.b.c.d` as IPv4 (EG-3), and with `egress.nat64` also `64:ff9b::a.b.c.d` (EG-4).
fn judged_as(address: IpAddr, settings: &EgressSettings) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if settings.nat64 && NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        canonical => canonical,
    }
}

fn admitted_by_net(address: IpAddr, settings: &EgressSettings) -> bool {
    let close = CLOSE.iter().find(|net| net.contains(&address));
    nets(&settings.allow).any(|net| net.contains(&address) && close.is_none_or(|close| close.contains(net)))
}

fn admitted_by_name(address: IpAddr, host: Option<&str>, settings: &EgressSettings) -> bool {
    host.is_some_and(|host| named(&settings.allow, host)) && !CLOSE.iter().any(|net| net.contains(&address))
}

/// Whether `host` stands among `entries`; no sub-names.
#[must_use]
pub fn named(entries: &[Entry], host: &str) -> bool {
    entries.iter().any(|entry| matches!(entry, Entry::Host(name) if name == host))
}

fn nets(entries: &[Entry]) -> impl Iterator<Item = &IpNet> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Net(net) => Some(net),
        Entry::Host(_) => None,
    })
}

const fn v4(high: u16, low: u16, prefix: u8, text: &'static str) -> (Ipv4Net, &'static str) {
    let bits = (high as u32) << 16 | low as u32;
    (Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), prefix), text)
}

const fn v6(high: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(high[0], high[1], 0, 0, 0, 0, 0, 0), prefix)
}
