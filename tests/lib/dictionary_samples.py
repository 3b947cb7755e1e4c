#!/usr/bin/env python3
"""Invents the texts that the compression dictionary is trained on, and turns a trained one into a C header.

A dictionary holds pieces of its samples, so no real text may go in: every name, number and sentence below is made up;
only the element names of the public formats (CAP, EDXL, JSON of EMSI kind) are what they are outside. The result is the
same on every run. A dictionary that was ever shipped stays as it is for ever; a new one gets a new number:

    tests/lib/dictionary_samples.py samples DIRECTORY
    zstd --train DIRECTORY/* --maxdict=8192 --dictID=1 -o FILE
    tests/lib/dictionary_samples.py header FILE 1 > proto/dictionary_1.h
"""
import json
import os
import random
import sys

COUNT = 2600

PLACES = ["Sterrebos", "Molenwijk", "Oudedorp", "Lindehof", "Waterkant", "Bois-du-Chat", "Pont-Neuf-le-Petit", "Val-Clair",
          "Haute-Fontaine", "Sainte-Aline", "Grünthal", "Neudorf am Bach", "Mühlenau", "Steinfelden"]
STREETS = {"nl": ["Kerkstraat", "Stationsplein", "Dorpsstraat", "Molenweg", "Lange Nieuwstraat"],
           "fr": ["rue de la Gare", "place du Marché", "avenue des Tilleuls", "chaussée Neuve", "rue du Moulin"],
           "de": ["Hauptstraße", "Bahnhofstraße", "Am Mühlbach", "Kirchplatz", "Neustraße"],
           "en": ["Station Road", "Market Square", "Mill Lane", "Church Street", "New Road"]}
QUEUES = ["cic-luik/dispatch", "cic-namen/dispatch", "cic-antwerpen/dispatch", "spoc-brussel/translation", "ccpd-doornik/messages",
          "cic-vlaams-brabant/dispatch", "halle-vilvoorde/dispatch", "eupen/dispatch", "all-cic/messages"]
PLATE = "ABCDEFGHJKLMNPRSTUVWXYZ"
COLOURS = {"nl": ["grijze", "zwarte", "witte", "blauwe", "rode"], "fr": ["gris", "noir", "blanc", "bleu", "rouge"],
           "de": ["grauer", "schwarzer", "weißer", "blauer", "roter"], "en": ["grey", "black", "white", "blue", "red"]}
VEHICLES = {"nl": ["personenwagen", "bestelwagen", "vrachtwagen", "bromfiets"], "fr": ["véhicule", "camionnette", "camion", "vélomoteur"],
            "de": ["Pkw", "Lieferwagen", "Lkw", "Kleinkraftrad"], "en": ["car", "van", "lorry", "moped"]}

SENTENCES = {
    "nl": ["Verkeersongeval met gekwetsten ter hoogte van {street} {n} te {place}.", "Graag ploeg ter plaatse sturen, dringend.",
           "Aanrijding met vluchtmisdrijf, {colour} {vehicle} met kenteken {plate} reed weg in de richting van {place}.",
           "Melder is ter plaatse en wacht op de patrouille.", "Inbraak gemeld in een woning, {street} {n}, verdachten nog aanwezig.",
           "Brandweer en ambulance zijn verwittigd, aankomst binnen {n} minuten.", "Vermiste persoon, {n} jaar, laatst gezien op {date} om {time} uur.",
           "De weg is volledig versperd in beide richtingen, omleiding ingesteld.", "Gelieve de ontvangst van dit bericht te bevestigen.",
           "Waterpeil stijgt verder, evacuatie van de {street} is aan de gang.", "Verzoek om bijstand van een hondengeleider.",
           "Einde van de interventie om {time} uur, geen verdere maatregelen nodig.", "Seining van een {colour} {vehicle}, kenteken {plate}, gestolen op {date}.",
           "Contactpersoon: inspecteur van dienst, telefoon 0{phone}.", "Geen gewonden, enkel stoffelijke schade.",
           "Verdachte persoon, ongeveer {n} jaar, donkere kledij, te voet gevlucht."],
    "fr": ["Accident de la circulation avec blessés à hauteur du {n} {street} à {place}.", "Prière d'envoyer une équipe sur place, urgent.",
           "Délit de fuite, {vehicle} {colour} immatriculé {plate} parti en direction de {place}.",
           "L'appelant est sur place et attend la patrouille.", "Cambriolage en cours dans une habitation, {n} {street}, suspects encore présents.",
           "Pompiers et ambulance avertis, arrivée dans {n} minutes.", "Personne disparue, {n} ans, vue pour la dernière fois le {date} à {time} heures.",
           "La route est complètement bloquée dans les deux sens, déviation mise en place.", "Veuillez confirmer la réception de ce message.",
           "Le niveau de l'eau continue à monter, évacuation en cours {street}.", "Demande d'assistance d'un maître-chien.",
           "Fin de l'intervention à {time} heures, aucune autre mesure nécessaire.", "Signalement d'un {vehicle} {colour}, plaque {plate}, volé le {date}.",
           "Personne de contact : inspecteur de service, téléphone 0{phone}.", "Pas de blessés, uniquement des dégâts matériels.",
           "Individu suspect, environ {n} ans, vêtements foncés, en fuite à pied."],
    "de": ["Verkehrsunfall mit Verletzten in Höhe {street} {n} in {place}.", "Bitte dringend eine Streife zum Einsatzort schicken.",
           "Unfallflucht, {colour} {vehicle} mit Kennzeichen {plate} in Richtung {place} weggefahren.",
           "Der Anrufer ist vor Ort und wartet auf die Streife.", "Einbruch in ein Wohnhaus gemeldet, {street} {n}, Verdächtige noch anwesend.",
           "Feuerwehr und Rettungsdienst sind verständigt, Ankunft in {n} Minuten.", "Vermisste Person, {n} Jahre, zuletzt gesehen am {date} um {time} Uhr.",
           "Die Straße ist in beiden Richtungen gesperrt, Umleitung eingerichtet.", "Bitte den Empfang dieser Nachricht bestätigen.",
           "Der Wasserstand steigt weiter, Räumung der {street} läuft.", "Ersuchen um Unterstützung durch einen Hundeführer.",
           "Ende des Einsatzes um {time} Uhr, keine weiteren Maßnahmen erforderlich.", "Fahndung nach {colour} {vehicle}, Kennzeichen {plate}, gestohlen am {date}.",
           "Ansprechpartner: Inspektor vom Dienst, Telefon 0{phone}.", "Keine Verletzten, nur Sachschaden.",
           "Verdächtige Person, etwa {n} Jahre, dunkle Kleidung, zu Fuß geflüchtet."],
    "en": ["Road traffic collision with injuries near {n} {street}, {place}.", "Please send a unit to the scene, urgent.",
           "Hit and run, {colour} {vehicle} registration {plate} last seen heading towards {place}.",
           "Request for information on the person and the vehicle named below.", "Translation required, please handle within the hour.",
           "Fire service and ambulance informed, arrival in {n} minutes.", "Missing person, aged {n}, last seen on {date} at {time} hours.",
           "The road is closed in both directions, diversion in place.", "Please confirm receipt of this message.",
           "Water level still rising, evacuation of {street} in progress.", "Reference is made to our message of {date}.",
           "End of operation at {time} hours, no further action needed.", "Stolen {colour} {vehicle}, registration {plate}, taken on {date}.",
           "Point of contact: duty officer, telephone +32 {phone}.", "No injuries, damage to property only."],
}
# Words of the trade in no order, so that the dictionary learns words and not only the sentences above.
VOCABULARY = {
    "nl": """de politie|het ziekenhuis|de hulpdiensten|een persoon|een voertuig|van de|in het|op de|met een|aan de|voor de|door de|wordt|werd|zijn|heeft|
        is niet|kan worden|moet|tussen|tijdens|volgens|binnen de|ongeveer|meldt dat|vraagt om|de dienst|de burgemeester|de gemeente|de provincie|de federale|
        de lokale politie|de gerechtelijke|het parket|de magistraat|aangifte|verhoor|getuige|slachtoffer|verdachte|bestuurder|minderjarige|wapen|diefstal|
        geweld|brand|overstroming|ontruiming|versterking|opdracht|onderzoek|inlichtingen|informatie|bericht|nummer|adres|geboren te|nationaliteit|
        identiteitskaart|rijbewijs|snelweg|afrit|kruispunt|spoorweg|telefoonnummer|onmiddellijk|waarschijnlijk|momenteel|onbekend|verwachting""",
    "fr": """la police|l'hôpital|les services de secours|une personne|un véhicule|de la|dans le|sur la|avec un|à la|pour la|par la|est|a été|sont|les|des|
        n'est pas|peut être|doit|entre|pendant|selon|environ|signale que|demande de|le service|le bourgmestre|la commune|la province|la police fédérale|
        la police locale|judiciaire|le parquet|le magistrat|plainte|audition|témoin|victime|suspect|conducteur|mineur|arme|vol|violence|incendie|
        inondation|évacuation|renfort|mission|enquête|renseignements|informations|message|numéro|adresse|né à|nationalité|carte d'identité|
        permis de conduire|autoroute|sortie|carrefour|chemin de fer|immédiatement|probablement|actuellement|inconnu|concernant|situation""",
    "de": """die Polizei|das Krankenhaus|die Rettungsdienste|eine Person|ein Fahrzeug|von der|in dem|auf der|mit einem|an der|für die|durch die|wird|wurde|
        sind|ist nicht|kann|muss|zwischen|während|laut|innerhalb|ungefähr|meldet|bittet um|der Dienst|der Bürgermeister|die Gemeinde|die Provinz|
        die föderale Polizei|die lokale Polizei|Staatsanwaltschaft|Anzeige|Vernehmung|Zeuge|Opfer|Verdächtiger|Fahrer|Minderjähriger|Waffe|Diebstahl|
        Gewalt|Brand|Überschwemmung|Räumung|Verstärkung|Auftrag|Ermittlung|Auskunft|Informationen|Nachricht|Nummer|Anschrift|geboren in|
        Staatsangehörigkeit|Personalausweis|Führerschein|Autobahn|Ausfahrt|Kreuzung|sofort|wahrscheinlich|derzeit|unbekannt|Warnung vor""",
    "en": """the police|the hospital|emergency services|a person|a vehicle|of the|in the|on the|with a|to the|for the|by the|is|was|are|has been|is not|
        can be|must|between|during|according to|within|approximately|reports that|requests|the service|the mayor|the municipality|the province|
        federal police|local police|judicial|the prosecutor|complaint|interview|witness|victim|suspect|driver|minor|weapon|theft|violence|fire|flood|
        evacuation|reinforcement|operation|investigation|intelligence|information|message|number|address|born in|nationality|identity card|
        driving licence|motorway|exit|junction|railway|immediately|probably|currently|unknown|warning|situation|issued|available""",
}
EVENTS = {"nl": ["Overstroming", "Hevige wind", "Onweer", "Gladheid", "Rookontwikkeling"], "fr": ["Inondation", "Vent fort", "Orages", "Verglas", "Fumée"],
          "de": ["Hochwasser", "Sturm", "Gewitter", "Glätte", "Rauchentwicklung"], "en": ["Flood", "Strong wind", "Thunderstorm", "Ice", "Smoke"]}
ADVICE = {"nl": "Blijf binnen en sluit ramen en deuren. Volg de instructies van de hulpdiensten.",
          "fr": "Restez à l'intérieur et fermez portes et fenêtres. Suivez les instructions des services de secours.",
          "de": "Bleiben Sie im Haus und schließen Sie Fenster und Türen. Folgen Sie den Anweisungen der Einsatzkräfte.",
          "en": "Stay indoors and close windows and doors. Follow the instructions of the emergency services."}


def stamp(r):
    return f"20{r.randint(24, 39)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"


def words(r, lang):
    return {"street": r.choice(STREETS[lang]), "n": r.randint(2, 98), "place": r.choice(PLACES), "colour": r.choice(COLOURS[lang]),
            "vehicle": r.choice(VEHICLES[lang]), "plate": f"{r.randint(1, 2)}-{''.join(r.choices(PLATE, k=3))}-{r.randint(0, 999):03}",
            "date": f"{r.randint(1, 28):02}/{r.randint(1, 12):02}/20{r.randint(24, 39)}", "time": f"{r.randint(0, 23):02}:{r.randint(0, 59):02}",
            "phone": "".join(r.choices("0123456789", k=8))}


def jumble(r, lang):
    some = r.sample([w.strip() for w in VOCABULARY[lang].split("|")], r.randint(5, 14))
    return (some[0][0].upper() + " ".join(some)[1:]) + r.choice([".", ".", ".", ":", ","])


def prose(r, lang, low, high):
    parts = [s.format(**words(r, lang)) for s in r.sample(SENTENCES[lang], r.randint(low, high))]
    parts += [jumble(r, lang) for _ in range(r.randint(0, high))]
    r.shuffle(parts)
    return " ".join(parts)


def coordinates(r):
    return round(r.uniform(49.5, 51.5), 5), round(r.uniform(2.6, 6.4), 5)


def dispatch(r):
    lang = r.choice(["nl", "nl", "fr", "fr", "de", "en"])
    labels = {"nl": ("VAN", "AAN", "BETREFT", "PLAATS", "TIJD"), "fr": ("DE", "A", "OBJET", "LIEU", "HEURE"),
              "de": ("VON", "AN", "BETREFF", "ORT", "ZEIT"), "en": ("FROM", "TO", "SUBJECT", "PLACE", "TIME")}[lang]
    w = words(r, lang)
    values = (r.choice(QUEUES), r.choice(QUEUES), r.choice(EVENTS[lang]), f"{w['street']} {w['n']}, {w['place']}", stamp(r) + "Z")
    head = "\n".join(f"{a}: {b}" for a, b in zip(labels, values))
    return f"{head}\n\n{prose(r, lang, 1, 5)}\n" if r.random() < 0.6 else prose(r, lang, 1, 4) + "\n"


def cap_info(r, lang):
    code = {"nl": "nl-BE", "fr": "fr-BE", "de": "de-BE", "en": "en-GB"}[lang]
    lat, lon = coordinates(r)
    ring = " ".join(f"{lat + a:.4f},{lon + b:.4f}" for a, b in ((0, 0), (0.1, 0.02), (0.08, 0.15), (0, 0)))
    return f"""  <info>
    <language>{code}</language>
    <category>{r.choice(["Met", "Safety", "Fire", "Transport", "Geo", "Rescue", "Security"])}</category>
    <event>{r.choice(EVENTS[lang])}</event>
    <responseType>{r.choice(["Prepare", "Shelter", "Evacuate", "Monitor", "None"])}</responseType>
    <urgency>{r.choice(["Immediate", "Expected", "Future", "Unknown"])}</urgency>
    <severity>{r.choice(["Extreme", "Severe", "Moderate", "Minor", "Unknown"])}</severity>
    <certainty>{r.choice(["Observed", "Likely", "Possible", "Unlikely"])}</certainty>
    <effective>{stamp(r)}+02:00</effective>
    <onset>{stamp(r)}+02:00</onset>
    <expires>{stamp(r)}+01:00</expires>
    <senderName>Invented Warning Office</senderName>
    <headline>{r.choice(EVENTS[lang])} - {r.choice(PLACES)}</headline>
    <description>{prose(r, lang, 1, 3)}</description>
    <instruction>{ADVICE[lang]}</instruction>
    <parameter>
      <valueName>awareness_level</valueName>
      <value>{r.choice(["2; yellow; Moderate", "3; orange; Severe", "4; red; Extreme"])}</value>
    </parameter>
    <area>
      <areaDesc>{r.choice(PLACES)}</areaDesc>
      <polygon>{ring}</polygon>
      <geocode>
        <valueName>EMMA_ID</valueName>
        <value>XX{r.randint(1, 99):03}</value>
      </geocode>
    </area>
  </info>
"""


def cap(r):
    infos = "".join(cap_info(r, lang) for lang in r.sample(list(SENTENCES), r.randint(1, 2)))
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>2.49.0.0.999.{r.randint(0, 9)}.{r.getrandbits(48):012x}</identifier>
  <sender>warnings@office.invalid</sender>
  <sent>{stamp(r)}+02:00</sent>
  <status>{r.choice(["Actual", "Exercise", "Test"])}</status>
  <msgType>{r.choice(["Alert", "Update", "Cancel"])}</msgType>
  <scope>{r.choice(["Public", "Restricted"])}</scope>
{infos}</alert>
"""
    return text if r.random() < 0.5 else text.replace("  ", "").replace(">\n<", "><")


def edxl(r):
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<edxlDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:2.0">
  <distributionID>invented-{r.getrandbits(40):010x}</distributionID>
  <senderID>{r.choice(QUEUES).split("/")[0]}</senderID>
  <dateTimeSent>{stamp(r)}+02:00</dateTimeSent>
  <dateTimeExpires>{stamp(r)}+02:00</dateTimeExpires>
  <distributionStatus>{r.choice(["Actual", "Exercise"])}</distributionStatus>
  <distributionKind>{r.choice(["Report", "Update", "Ack", "Request"])}</distributionKind>
  <descriptor><explicitAddress><explicitAddressScheme>sge</explicitAddressScheme><explicitAddressValue>{r.choice(QUEUES)}</explicitAddressValue></explicitAddress></descriptor>
  <content><contentObject><contentDescription>{prose(r, r.choice(list(SENTENCES)), 1, 2)}</contentDescription></contentObject></content>
</edxlDistribution>
"""


def emsi(r):
    lang = r.choice(list(SENTENCES))
    lat, lon = coordinates(r)
    w = words(r, lang)
    value = {
        "distributionID": f"invented_{r.getrandbits(32):08x}", "senderID": r.choice(QUEUES), "dateTimeSent": stamp(r) + "+02:00",
        "distributionStatus": r.choice(["Actual", "Exercise", "Test"]), "distributionKind": "Report", "language": f"{lang}-BE",
        "recipient": [{"name": r.choice(QUEUES), "URI": f"sge:{r.choice(QUEUES)}"}],
        "content": [{"jsonContent": {"embeddedJsonContent": {"message": {
            "caseId": f"be.invented.{r.getrandbits(24):06x}", "creation": stamp(r) + "+02:00",
            "qualification": {"whatsHappen": {"code": f"C{r.randint(1, 9):02}.{r.randint(0, 99):02}", "label": r.choice(EVENTS[lang])},
                              "locationKind": {"code": "L01.00.00", "label": r.choice(PLACES)},
                              "riskThreat": [], "victims": {"count": r.randint(0, 9), "mainVictim": None}},
            "location": {"locID": f"loc-{r.getrandbits(16):04x}", "name": w["place"],
                         "detailedAddress": {"complete": f"{w['street']} {w['n']}", "number": str(w["n"])},
                         "geometry": {"datetime": stamp(r) + "+02:00", "point": {"coord": {"lat": lat, "lon": lon, "precision": "EXACT"}}}},
            "initialAlert": {"reception": stamp(r) + "+02:00", "notes": [{"freetext": prose(r, lang, 1, 2)}],
                             "caller": {"callerContact": {"channel": "TEL", "type": "PERSON", "detail": f"tel:+32{w['phone']}"}, "language": lang}},
            "owner": "cic.invented", "priority": r.choice(["P0", "P1", "P2", "P3"]), "status": r.choice(["new", "assigned", "closed"])}}}}]}
    return json.dumps(value, ensure_ascii=False, indent=r.choice([None, 2, 4])) + "\n"


def form(r):
    """A request between message desks, as numbered fields."""
    lang = r.choice(["en", "fr", "nl"])
    w = words(r, lang)
    return (f"REF: {r.randint(1, 9999):04}/20{r.randint(24, 39)}/XX\nDATE: {w['date']} {w['time']}\nPRECEDENCE: "
            f"{r.choice(['FLASH', 'IMMEDIATE', 'PRIORITY', 'ROUTINE'])}\nFROM: {r.choice(QUEUES)}\nTO: {r.choice(QUEUES)}\n\n"
            f"1. {prose(r, lang, 1, 2)}\n2. {prose(r, lang, 1, 2)}\n3. {prose(r, lang, 1, 1)}\n")


def samples(directory):
    os.makedirs(directory, exist_ok=True)
    kinds = [dispatch] * 5 + [cap] * 3 + [emsi] * 3 + [edxl, form]
    for i in range(COUNT):
        r = random.Random(i)
        with open(os.path.join(directory, f"{i:05}"), "w", encoding="utf-8") as f:
            f.write(kinds[i % len(kinds)](r))


def header(path, number):
    data = open(path, "rb").read()
    print(f"/* dictionary_{number}.h - dictionary number {number} of pack.c, trained on the invented texts of\n"
          f" * tests/lib/dictionary_samples.py. Made once; sealed bodies need exactly these bytes, so it never changes. */")
    print(f"static const unsigned char dictionary_{number}[{len(data)}] = {{")
    for i in range(0, len(data), 32):
        print("\t" + ",".join(str(b) for b in data[i:i + 32]) + ",")
    print("};")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "samples":
        samples(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "header":
        header(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(__doc__)
