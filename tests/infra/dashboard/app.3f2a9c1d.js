document.title = "Sightline";
