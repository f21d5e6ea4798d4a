"""Given and family names for the fictional company: put together by a seeded generator, so nobody here is real."""

import unicodedata


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = _words(
    """
    Aaliyah Abel Adaeze Adrián Agnes Aiko Aino Ajay Alba Alejandro Alma Amara Amina Anders Aneta Anouk Antoine Anya
    Arjun Arturo Asha Astrid Ayşe Bao Beatriz Benedikt Bilal Birgit Bogdan Brigid Carlos Catarina Chidi Chiara Chloé
    Cormac Damla Daan Dalia Darius Deepa Diego Dilan Dina Dmitri Ebba Eduardo Efua Eilidh Elif Elio Elspeth Emeka
    Emil Esra Esther Farah Fatou Felipe Femke Finn Fiona Florian Freja Gabriela Giulia Goran Grace Gunnar Hakan
    Hana Hanneke Harriet Hassan Hélène Henrik Hiroshi Hugo Ibrahim Ida Ifeoma Ilse Imani Inês Ingrid Irina Isak
    Ivana Jakub Jamal Jana Jasper Javier Jia Joana Jochem Jonas Jorunn Josefina Juma Kaisa Kamal Karin Katya Keiko
    Khadija Kofi Lakshmi Lars Laszlo Leila Lena Leonor Liam Lina Linh Lotte Lucía Ludo Łukasz Maaike Magnus Mai
    Malik Manuela Mara Marek Mariam Marisol Mats Mei Mehmet Mihai Milan Mina Mireille Mohan Nadia Naledi Naoki
    Nasrin Nedim Nia Niamh Nikhil Nilufar Noor Nuno Obinna Odile Oksana Olga Omar Oona Oskar Paloma Pavel Petra
    Philippa Pieter Pilar Priya Quentin Rafael Rahel Raimo Ravi Rebeka Renske Rosa Ruben Rukmini Ruta Saeed Salma
    Samir Sanne Saoirse Selam Sergei Sigrid Sina Siobhán Sofía Søren Stella Sunita Svetlana Tamar Tariq Teun Thandi
    Théo Tomasz Tove Tuan Ulrike Umar Vera Viktor Violeta Wanjiru Willem Xiulan Yara Yasmin Yohannes Yuki Zainab
    Zdenka Zoë Zofia Zubair
    """
)

FAMILY = _words(
    """
    Abara Achterberg Adeyinka Agarwala Ahlgren Akintola Alvarenga Amadi Andermatt Aragones Asante Ashworthy Aubertin
    Baptistel Barzani Beauchemin Bekele Bergsma Bielak Bjerke Blokhuis Boateng Bonavita Borgström Bouazizi Brannigan
    Brouwersma Calloway Castellanos Chaudhuri Chikwanha Cieslak Corrigan Dagher Dalgaard Darwish Delacroix Demirkan
    Desrosiers Diakité Dijkhuis Dimitrova Dragomir Duartes Ebersole Edenfield Eikeland Ekström Elmasry Engelhardt
    Eriksdottir Espinhosa Farahani Feldkamp Ferreirinha Fitzmorris Fontaneau Fujimori Gallagher-Reyes Galvão Gebreyes
    Ghosh-Lindt Goossens Grabowska Gundersby Haddadin Halvorsen Hammerich Haruna Heikkinen Hollingbury Hoekzema
    Ibarrola Ikeda-Brandt Ilunga Iskandar Jablonsky Jagtiani Jankovic Jimoh Jorgensby Kaminska Karanja Kasprzak
    Kayembe Keltjens Khatun Kirchhofer Kjellberg Kobayashi-Roth Kowalczuk Kristoff Kuiperij Kumarasamy Lagerfeldt
    Lamptey Larkspur Latheef Lefebvrier Leitão Lindqvist Lombardini Luthuli Maboko Macallister Madrigal Mahlangu
    Makinde Maldonaro Mansouri Marchetti-Vos Matsudaira Mbeki-Stone McArdle Mendelbaum Mirzaei Moolenaar Moriarty-Singh
    Mukherji Mwangala Nakagawa-Lee Ndiaye-Roux Netterfield Nguyenova Nieuwstad Nkemelu Nordahl Novakova Nyström
    Oakhurst Obioma Odenkirk Ogunleye Okonjo Olafsson Onderwater Orellana Østergård Owusu Özdemir Pacheco-Lima
    Palanisamy Papadakis Pettersby Piatek Poelstra Quansah Quintanilha Raghunath Rahmani Rasmusby Rautio Ravensberg
    Rietveldt Rimando Rochefort Rosenqvist Saarinen Sabharwal Salamanca Sandvik Santangelo Schellekens Sefton Sekhon
    Shimizu-Hart Sikorska Silvestre Skarsgaard Sobczak Solheim Sorensby Stavrou Steenhuis Strandberg Suleyman
    Swaminathan Takahara Talavera Tanaka-Moss Tessema Thorvald Tienstra Toivonen Tomczyk Trevelyan Tshabala Uchenna
    Uijtdehaag Underhill-Ray Vacarescu Valtonen Vandermeulen Vasquinho Veldhoven Venkataraman Vinterberg Wachira
    Waldenström Warsame Westerhuis Wickramage Wolanski Woldemariam Yamoah Yildirim Ypma Zakariyah Zamorano Zeelenberg
    Zielonka Zwartveld
    """
)

# What Unicode does not decompose into a base letter and an accent.
_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "\u0131": "i", "ß": "ss", "æ": "ae"})


def ascii_of(name: str) -> str:
    """A name as it stands in a user name: lower-case ASCII letters and hyphens."""
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS)).encode("ascii", "ignore").decode("ascii")
    return "".join(letter for letter in plain.lower() if letter.isalpha() or letter == "-")
