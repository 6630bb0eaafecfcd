"""Who somebody is: passwords, one-time codes, sealed secrets, and the accounts of other systems (LDAP, OpenID)."""
