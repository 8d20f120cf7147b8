"""Who may do what with whose data: grants, requests, standing rules, the site's policy."""
