"""A simulated archive online: a STAC API, files, signatures, and a network with configurable faults.

    def test_network_with_faults(archive_online, small_archive, tmp_path):     # fixtures of tests/conftest.py
        catalog = {
            "profile": "planetary-computer",
            "location": archive_online.catalog_url,
            "hosts": archive_online.file_hosts,
        }
        folder = make_workspace(tmp_path, small_archive, catalog=catalog)
        archive_online.begin(Rule(rate=0.05), seed=3)            # 5 % of all requests, all kinds
        monitor("run", ..., env=archive_online.environment)
        traffic = archive_online.traffic()                       # since `begin`
        print(traffic.faults, len(traffic.reads), sum(read.size for read in traffic.reads))
        assert not traffic.unknown_hosts                         # hosts of the real internet
        archive_online.begin(Rule("B03_10m.tif", kinds=(Fault.MISSING,)))      # always, for these assets

Outside pytest: `with archive_online(folder, postgis_url) as online`, from `tests.support.servers.online`. The
hosts exist only behind the proxy, and `environment` points to it; a client that bypasses the proxy reaches
nothing.
"""
