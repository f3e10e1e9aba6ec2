"""The firewall: what may pass, as data; renderers turn it into resources. Pure."""
