"""What goes into a support bundle: facts for whoever helps, and no word of a patient, no key, no person's login."""
