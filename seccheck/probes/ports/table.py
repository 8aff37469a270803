"""The maintained table of ports: which service is usual on each, of which kind, and why we look.

Numbers and names are those of the IANA registry of service names and ports (RFC 6335) or, where a product
never registered, of its own manual. A number proves no service: what answers there is asked separately.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

UDP_SERVICES: dict[str, int] = {
    "dns": 53,
    "ntp": 123,
    "snmp": 161,
    "memcached": 11211,
    "cldap": 389,
    "ssdp": 1900,
    "tftp": 69,
}
"""The UDP services that can be asked, with their standard ports."""


class Entry(NamedTuple):
    """One TCP port of the table."""

    port: int
    service: str
    kind: str
    why: str


# kind, why ports of this group are looked at, then "port service" pairs.
_GROUPS: tuple[tuple[str, str, str], ...] = (
    ("cleartext", "passwords and content travel readable", """
        21 ftp  2121 ftp  23 telnet  2323 telnet  540 uucp  119 nntp  194 irc  6667 irc  70 gopher
        24554 binkp"""),
    ("cleartext", "trusts the address of the caller, and sends everything readable (BSD r-commands)", """
        512 rexec  513 rlogin  514 rsh"""),
    ("cleartext", "small servers of another age, of use to attackers alone (RFC 862-868, 1288)", """
        7 echo  9 discard  11 systat  13 daytime  15 netstat  17 qotd  19 chargen  37 time  79 finger"""),
    ("database", "data belongs behind the application, never beside it", """
        118 sqlserv  150 sql-net  156 sqlsrv  523 db2-das  1433 ms-sql  1434 ms-sql-monitor  1521 oracle
        1522 oracle  1526 oracle  1527 derby  1583 pervasive  1830 oracle-net  1972 intersystems
        2424 orientdb  2480 orientdb  2481 oracle  2482 oracle  2483 oracle  2484 oracle-tls  2638 sybase
        3050 firebird
        3306 mysql  3307 mysql  3351 pervasive  4333 msql  5236 dameng  5432 postgresql  5433 postgresql
        5434 postgresql  6432 pgbouncer  7473 neo4j  7474 neo4j  7687 neo4j  8529 arangodb  9042 cassandra
        9160 cassandra  7199 cassandra-jmx  19530 milvus  26257 cockroachdb  27017 mongodb  27018 mongodb
        27019 mongodb  28015 rethinkdb  28017 mongodb-http  30013 sap-hana  30015 sap-hana  33060 mysqlx
        39013 sap-hana  39015 sap-hana  50000 db2  54321 kingbase"""),
    ("database", "key-value stores and caches that often ask for no password", """
        6379 redis  6380 redis  16379 redis-cluster  26379 redis-sentinel  11211 memcached  5984 couchdb
        6984 couchdb  8086 influxdb  8091 couchbase  11210 couchbase  10800 ignite  47500 ignite
        5701 hazelcast"""),
    ("database", "search engines hold copies of the data, and often ask for no password", """
        9200 elasticsearch  9201 elasticsearch  9300 elasticsearch  8983 solr  7700 meilisearch  6333 qdrant
        9312 sphinx"""),
    ("remote-administration", "whoever logs in owns the machine; through a VPN only", """
        3389 rdp  3388 rdp  5900 vnc  5901 vnc  5902 vnc  5903 vnc  5904 vnc  5905 vnc  5800 vnc-http
        5801 vnc-http  5985 winrm  5986 winrm-tls  47001 winrm  992 telnets  1494 citrix-ica  2598 citrix-cgp
        3283 apple-remote  4899 radmin  5631 pcanywhere  5938 teamviewer  6129 dameware  10000 webmin
        20000 usermin  2082 cpanel  2083 cpanel  2086 whm  2087 whm  8447 plesk  1270 scom  5723 scom
        10933 octopus  4505 salt  4506 salt  8140 puppet"""),
    ("remote-administration", "Windows remote procedure calls (MS-RPCE) start services from afar", """
        135 msrpc  593 msrpc-http"""),
    ("remote-administration", "a screen that takes keystrokes from the network", """
        6000 x11  6001 x11  6002 x11  6003 x11"""),
    ("file-sharing", "file shares were made for the local network", """
        137 netbios-ns  138 netbios-dgm  139 netbios-ssn  445 smb  548 afp  873 rsync  2049 nfs  111 rpcbind
        20048 mountd  4045 nfs-lockd  3260 iscsi  860 iscsi  24007 glusterfs  988 lustre"""),
    ("ssh", "administration by SSH: from known addresses only", "22 ssh  2222 ssh  22222 ssh  2022 ssh"),
    ("cluster-management", "whoever may call this API runs what he likes on every machine of the cluster", """
        2375 docker  2376 docker-tls  2377 docker-swarm  4243 docker  2379 etcd  2380 etcd-peer
        6443 kubernetes  16443 kubernetes  10250 kubelet  10255 kubelet-read-only  10257 kube-controller
        10259 kube-scheduler  9345 rke2  4646 nomad  8500 consul  8501 consul-tls  8200 vault  2181 zookeeper
        8006 proxmox  902 vmware  903 vmware  16509 libvirt  16514 libvirt-tls  5480 vmware-appliance
        35357 keystone  8774 nova"""),
    ("cluster-management", "a build server holds the keys to everything it deploys", "8153 gocd  8154 gocd"),
    ("cluster-management", "data clusters run the jobs that anybody submits", """
        50070 hdfs  9870 hdfs  50075 hdfs-data  7077 spark  6066 spark-rest  60010 hbase  16010 hbase
        6123 flink"""),
    ("application-management", "management doors of application servers, often open to code from afar", """
        1098 rmi  1099 rmi  8009 ajp  7001 weblogic  7002 weblogic-tls  9043 websphere  9060 websphere
        4848 glassfish  9990 wildfly  9993 wildfly  8686 jmx  5005 jdwp  9229 node-inspector  1617 jmx
        3200 sap-dispatcher  3300 sap-gateway  50013 sap-control  8005 tomcat-shutdown"""),
    ("message-broker", "queues between applications, not for strangers", """
        1883 mqtt  8883 mqtt-tls  4222 nats  8222 nats-http  5671 amqps  5672 amqp  15672 rabbitmq
        25672 rabbitmq  4369 epmd  6650 pulsar  9092 kafka  9093 kafka-tls  8161 activemq  61613 stomp
        61616 activemq  1414 ibm-mq  4150 nsq  4161 nsq  11300 beanstalkd"""),
    ("monitoring", "shows strangers how the system is built", """
        161 snmp  199 smux  705 agentx  5601 kibana  5666 nrpe  6556 checkmk  8089 splunk
        9091 prometheus-push  9115 prometheus-blackbox  9997 splunk  10050 zabbix-agent  10051 zabbix
        12489 nsclient  9411 zipkin  16686 jaeger  8125 statsd  19999 netdata  4949 munin  2003 graphite
        24224 fluentd  5044 logstash  9600 logstash  12201 gelf"""),
    ("device-management", "management of network devices and server boards", """
        623 ipmi  664 ipmi-tls  830 netconf  4786 cisco-smart-install  7547 tr-069  8291 mikrotik-winbox
        8728 mikrotik-api  8729 mikrotik-api-tls  541 fortimanager  703 fortinet-ha  264 checkpoint-topology
        18190 checkpoint-cpmi  18264 checkpoint-ca  6633 openflow  6653 openflow  5120 bmc-media  7578 bmc-kvm
        17988 ilo-media  17990 ilo-console  1311 dell-openmanage  2381 hp-management  3668 drac-media
        57722 cisco-grpc  57400 gnmi  9339 gnmi  4343 unifi  8843 unifi  6789 unifi  5555 adb"""),
    ("device-management", "cameras and recorders, whose firmware is rarely kept up", """
        554 rtsp  5554 rtsp  8554 rtsp  37777 dahua  34567 xiongmai  9527 xiongmai  3702 onvif"""),
    ("routing", "routers talk to their neighbours alone", "179 bgp  646 ldp  4784 bfd"),
    ("industrial", "control of machines, without any login", """
        102 s7comm  502 modbus  789 redlion  1200 codesys  1911 niagara-fox  1962 pcworx  2404 iec-104
        2455 codesys  4840 opc-ua  4911 niagara-fox-tls  5006 melsec  5007 melsec  9601 omron-fins
        18245 ge-srtp  20547 proconos  44818 ethernet-ip  10001 automatic-tank-gauge"""),
    ("printing", "printers belong to the office network", """
        515 lpd  631 ipp  9100 jetdirect  9101 jetdirect  9102 jetdirect"""),
    ("mailbox", "mailboxes and passwords of the staff", """
        106 poppassd  109 pop2  110 pop3  143 imap  220 imap3  993 imaps  995 pop3s  4190 managesieve"""),
    ("mail", "mail transfer", "25 smtp  465 submissions  587 submission  2525 smtp"),
    ("directory", "accounts and groups of the organisation", """
        88 kerberos  389 ldap  464 kpasswd  636 ldaps  749 kerberos-admin  3268 global-catalog
        3269 global-catalog-tls  9389 ad-web-services  49 tacacs  43 whois"""),
    ("proxy", "an open proxy lends its address to strangers", """
        1080 socks  1081 socks  3128 squid  8118 privoxy  9050 tor  9051 tor-control"""),
    ("vpn", "entrances that must be meant to be there", """
        500 isakmp  1194 openvpn  1701 l2tp  1723 pptp  4500 ipsec-nat  10443 ssl-vpn  943 openvpn-admin
        4433 ssl-vpn"""),
    ("telephony", "calls at somebody else's expense", """
        1720 h323  1719 h323  5060 sip  5061 sips  2000 sccp  5038 asterisk-manager  8021 freeswitch"""),
    ("backup", "backups hold everything", """
        6101 backup-exec  6106 backup-exec  10002 ndmp  13720 netbackup  13724 netbackup  1556 netbackup
        8400 commvault  9392 veeam  9398 veeam  9401 veeam  9103 bacula  1581 tivoli  3817 backup"""),
    ("name-service", "name service over TCP", "42 wins  53 dns  853 dns-tls"),
    ("source-code", "what is written here runs elsewhere", "3690 svn  9418 git  2401 cvs"),
    ("web", "web servers on the usual ports", "80 http  443 https"),
    ("web", "ports where anything may stand: a site, a build server, the console of a cluster", """
        81 http  82 http  591 http  1443 https  2443 https  3000 http  3333 http  3443 https  4443 https
        5000 http  5001 http  5443 https  6080 http  7080 http  7443 https  8000 http  8001 http  8008 http
        8010 http  8042 http  8080 http  8081 http  8082 http  8085 http  8088 http  8090 http  8111 http
        8181 http  8265 http  8443 https  8834 https  8880 http  8888 http  8889 http  8929 http  9000 http
        9010 http  9080 http  9081 http  9090 http  9443 https  10080 http  12443 https  18080 http
        18443 https  20080 http  28080 http"""),
)  # fmt: skip


def _entries() -> Iterable[Entry]:
    """The rows, where a port claimed by two groups keeps the name and kind of the first."""
    seen: set[int] = set()
    for kind, why, text in _GROUPS:
        words = text.split()
        for number, service in zip(words[::2], words[1::2], strict=True):
            if (port := int(number)) not in seen:
                seen.add(port)
                yield Entry(port, service, kind, why)


TABLE: dict[int, Entry] = {entry.port: entry for entry in sorted(_entries())}
"""The table by port."""

USUAL: tuple[int, ...] = (
    80, 443, 22, 21, 23, 25, 53, 110, 143, 445, 3389, 8080, 8443, 3306, 1433, 5432, 1521, 6379, 27017, 9200,
    139, 135, 111, 993, 995, 587, 465, 5900, 2375, 6443, 8000, 5985,
)  # fmt: skip
"""Where something answers most likely: an address silent on all these, and on the declared, is given up."""


def ranges(text: str) -> tuple[int, ...]:
    """The port numbers of a text such as `1-3,7`, sorted; raises ValueError for what is none."""
    numbers: set[int] = set()
    for part in text.replace("\n", ",").split(","):
        if part := part.strip():
            first, _, last = part.partition("-")
            if int(last or first) > 65535:
                raise ValueError(f"{part} are no ports")
            numbers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


_COMMON = (
    # System ports with a registered service (IANA, below 1024).
    """1,3,5,18,20,29,33,38,39,48,50-52,54,56,58,61-69,71-78,86,87,89-101,104,105,107,108,113,115,117,120-134,144,
    152,158,163,174-178,190,191,197,198,200-202,206,209,210,213,218,259,262,280,308,311,318,333,350,351,366,369,371,
    383,387,399,401,406,407,427,434,435,442,444,447,458,462,475,491,497,520,522,524-527,530-533,543-545,555,556,563,
    565,585,592,600,601,610,628,635,648,660,666,674,683,691,694,700,706,711,720,750-754,758,760,765,767,777,780,800,
    801,808,847,848,880,888,898,901,910,911,953,989-991,996,997,1010,1021-1023""",
    # The first ports that systems hand to their own services: older ones from 1024, Windows (RPC) from 49152.
    "1024-1060,49152-49175",
    # More of the same beside the first instance: screens, remote desktops, databases, caches.
    """5802-5805,5906-5910,6004-6009,2001-2010,2100,2121,3390-3392,5500,5632,6568,7070,7100,1500,1523-1525,1528,
    1529,3308-3310,5435,5436,6378,6381,6382,7000,4000,8087,8092,8098,8108,8123,9301,11212,27020,50001""",
    # Chat, games, films, file exchange.
    """1863,1900,1935,3689,4662,5190,5222,5223,5228,5269,5280,5351,5431,6346,6600,6660-6666,6668,6669,6697,6881-6889,7680,
    8448,17000,25565,27015,32400,51413""",
    # Sites and consoles, on the numbers that people choose for the second one.
    """3001-3010,4200,4242,4440,4567,5002-5005,5010,5050,5080,5100,5357,6443,7003-7010,7071,7170,7200,7272,
    7676,7777,7778,7788,7800,8002-8007,8011-8036,8040,8041,8043-8052,8060,8070-8072,8075-8079,8083,8084,8086,8093-8097,
    8099,8100,8118,8140,8180,8182-8190,8280-8282,8300,8333,8383,8384,8401,8402,8445,8446,8449,8484-8487,8500,8787,
    8800-8808,8873,8881-8887,8890-8892,8899,8980,8988,8989,8990-8999,9001-9009,9011,9020,9040,9070,9082-9089,9094-9099,
    9110,9111,9191,9202-9206,9290,9400,9444-9446,9500,9595,9800,9898,9900,9988,9998,9999,10003-10010,10082,
    11111,12000,12345,14000,15000,16000,16080,18888,20001,20002,30000,31337,40000,50002,50003,55555,58080,60000,
    65000""",
)
TOP_1000: tuple[int, ...] = tuple(sorted({*TABLE, *(port for text in _COMMON for port in ranges(text))}))
"""The thousand ports that `top-1000` means, of both engines alike: the table, registered system
ports, and the numbers people choose for a second instance. Our own composition, no scanner's order."""

PORT_LISTS: dict[str, tuple[int, ...]] = {
    **{
        kind: tuple(sorted(entry.port for entry in TABLE.values() if entry.kind == kind))
        for kind in sorted({entry.kind for entry in TABLE.values()})
    },
    "table": tuple(TABLE),
    "top-1000": TOP_1000,
}
"""Named lists of TCP ports that criteria may use: one for each kind, and the sets."""


def ports_of(sets: Iterable[str]) -> set[int]:
    """The TCP ports of the named sets: `table`, `top-1000`, `all`."""
    ports: set[int] = set()
    for name in sets:
        ports.update(range(1, 65536) if name == "all" else PORT_LISTS[name])
    return ports
