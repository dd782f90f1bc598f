"""Where rows come from: what every source gives, and one package per kind of source."""
