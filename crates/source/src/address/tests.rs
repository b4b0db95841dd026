use proptest::prelude::*;

use super::*;

fn verdict(address: &str) -> Option<&'static str> {
    forbidden(address.parse().unwrap())
}

/// First and last number of each block of the IANA IPv4 Special-Purpose Address Registry that is not
/// globally reachable, and of multicast: written down apart from the table under test.
const NOT_GLOBAL: [(&str, &str); 16] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
];

fn bounds() -> impl Iterator<Item = (u32, u32)> {
    let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
    NOT_GLOBAL
        .iter()
        .map(move |(first, last)| (number(first), number(last)))
}

#[test]
fn blocks_end_where_the_registry_says() {
    let inside = |n: u32| bounds().any(|(first, last)| (first..=last).contains(&n));
    for (first, last) in bounds() {
        for n in [first.saturating_sub(1), first, last, last.saturating_add(1)] {
            let address = Ipv4Addr::from(n);
            assert_eq!(forbidden_v4(address).is_some(), inside(n), "{address}");
        }
    }
}

#[test]
fn what_clouds_and_networks_use_inside_is_forbidden() {
    let inner = [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:808:808::",
        "2001:0:1::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "100::1",
        "5f00::1",
        "4000::1",
        "1::1",
    ];
    for address in inner {
        assert!(verdict(address).is_some(), "{address}");
    }
}

#[test]
fn public_addresses_pass() {
    let public = [
        "8.8.8.8",
        "1.1.1.1",
        "99.255.255.255",
        "172.32.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2400:cb00::1",
    ];
    for address in public {
        assert_eq!(verdict(address), None, "{address}");
    }
}

#[test]
fn this_machine_knows_its_addresses() {
    assert!(is_this_machine("127.0.0.1".parse().unwrap()));
    assert!(!is_this_machine("8.8.8.8".parse().unwrap()));
}

proptest! {
    #[test]
    fn ipv4_agrees_with_the_registry(n: u32) {
        let inside = bounds().any(|(first, last)| (first..=last).contains(&n));
        prop_assert_eq!(forbidden_v4(Ipv4Addr::from(n)).is_some(), inside);
    }

    #[test]
    fn carried_ipv4_is_judged_as_itself(n: u32) {
        let v4 = Ipv4Addr::from(n);
        let plain = forbidden(v4.into());
        prop_assert_eq!(forbidden(v4.to_ipv6_mapped().into()), plain);
        let nat64 = Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(n));
        prop_assert_eq!(forbidden(nat64.into()), plain);
        let compatible = Ipv6Addr::from(u128::from(n));
        prop_assert!(forbidden(compatible.into()).is_some());
    }

    #[test]
    fn ipv6_outside_global_unicast_is_forbidden(n: u128) {
        let outside = n >> 125 != 1;
        let carries_ipv4 = n >> 32 == 0xffff || n >> 32 == 0x64_ff9b << 64;
        let address = Ipv6Addr::from(n);
        prop_assert!(!outside || carries_ipv4 || forbidden(address.into()).is_some(), "{}", address);
    }
}
